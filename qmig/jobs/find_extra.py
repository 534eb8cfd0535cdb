"""Find extra points: search one chunk of the target for points that the source does not have."""

from collections.abc import Sequence
from copy import deepcopy
from functools import partial

from qmig.errors import NotFoundError
from qmig.jobs.chunk_io import ChunkIO
from qmig.jobs.in_flight import Read
from qmig.jobs.recheck import Rechecks, one_ahead
from qmig.jobs.sampling import is_sampled
from qmig.ledger.findings import Checks, FindingKind, Findings
from qmig.ledger.records import ChunkRecord, MigrationRecord
from qmig.qdrant.batch import Batch
from qmig.qdrant.passthrough import raw_id
from qmig.sources.base import Pending

#: Ids that the source is asked about at once.
IDS_PER_READ = 5_000


def find_extra(io: ChunkIO, record: MigrationRecord) -> ChunkRecord:
    """Ask the source which points of the target's chunk it has, and note the others. Return the chunk's last record.

    The next ids are read, and the source is asked about them, while the answer about a batch is awaited.
    """
    search = _Search(io, record)
    rechecks = Rechecks(io, search.findings, search.recheck)
    # Ids say nothing about the size of the points.
    batches = io.batches(search.start_read, adapt_size=False)
    for batch, points, asked in one_ahead((batch, *search.ask_in_turn(batch)) for batch in batches):
        present = search.present(asked)
        rechecks.add(batch, [point for point in points if raw_id(point) not in present])
    rechecks.end()
    return io.finish(findings=search.findings)


class _Search:
    """The questions about the chunk's points, and the findings."""

    def __init__(self, io: ChunkIO, record: MigrationRecord) -> None:
        self.findings = deepcopy(io.chunk.findings) or Findings()
        self._io = io
        self._session = io.session
        self._chunk = io.chunk
        self._share = (record.checks or Checks()).share

    def start_read(self, key: str | None, limit: int) -> Pending[Batch]:  # noqa: ARG002
        """Start to read ids, and the field with the key in the source if there is one.

        The limit is for whole points, and ids are much smaller.
        """
        field = self._session.source.key_field
        return self._session.target.start_ids(self._chunk.partition, key, self._chunk.end, IDS_PER_READ, field)

    def ask_in_turn(self, batch: Batch) -> tuple[Sequence[bytes], Read[set[bytes]]]:
        """Ask the source about the points of a batch, or about a sample, as soon as the rate limit allows."""
        self._io.wait_for_turn(len(batch.points))
        points = [
            point
            for point in batch.points
            if self._share == 1 or is_sampled(self._session.target.key_of(point), self._share)
        ]
        return points, self._ask(points)

    def _ask(self, points: Sequence[bytes]) -> Read[set[bytes]]:
        partition = self._chunk.partition if self._session.router.keeps_partitions else None
        return self._io.start(partial(self._session.source.start_present, partition, points))

    def present(self, asked: Read[set[bytes]]) -> set[bytes]:
        """Wait for the answer. Return the raw ids of the points that the source has."""
        try:
            return self._io.result(asked)
        except NotFoundError:
            if self._chunk.partition in self._io.run_blocking(self._session.source.partitions):
                raise
            # The source has no such shard key: none of the points is there.
            return set()

    def recheck(self, suspects: Sequence[bytes]) -> None:
        """Ask both ends about suspects again, and note those that only the target has."""
        in_source = self.present(self._ask(suspects))
        start = partial(self._session.target.start_present, self._chunk.partition, suspects)
        in_target = self._io.read(start)
        for point in suspects:
            if raw_id(point) in in_target and raw_id(point) not in in_source:
                self.findings.note(FindingKind.EXTRA, self._session.target.key_of(point))
