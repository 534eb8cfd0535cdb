"""Looking through one chunk of the target for points that the source has not."""

from collections.abc import Sequence
from functools import partial

from qmig.errors import NotFoundError
from qmig.jobs.check_chunk import ChunkCheck
from qmig.jobs.sampling import is_sampled
from qmig.ledger.findings import EXTRA
from qmig.qdrant.batch import Batch
from qmig.qdrant.keys import PointKey
from qmig.qdrant.passthrough import point_id, raw_id
from qmig.sources.base import Pending

# Points that the source is asked about at once.
AT_ONCE = 5_000

Question = tuple[list[bytes], Pending[set[bytes]]]


class ExtraSearch(ChunkCheck[Question]):
    """Asks the source which ids of the target's range it has."""

    def _start_read(self, key: str | None) -> Pending[Batch]:
        field = self._session.source.key_field
        return self._session.target.start_ids(self._partition, key, self._lease.chunk.end, AT_ONCE, field)

    def _learn(self, batch: Batch) -> None:
        """Ids alone tell nothing of the size of the points."""

    def _ask(self, batch: Batch) -> Question:
        share = self._checks.share
        asked = [point for point in batch.points if share == 1 or is_sampled(_id(point), share)]
        return asked, self._start(partial(self._start_present, asked))

    def _judge(self, points: Sequence[bytes], question: Question) -> list[bytes]:  # noqa: ARG002
        asked, reading = question
        present = self._present(asked, reading)
        return [point for point in asked if raw_id(point) not in present]

    def _look_again_at(self, points: Sequence[bytes]) -> None:
        in_source = self._present(points)
        in_target = self._answer(lambda: self._session.target.start_present(self._partition, points))
        for point in points:
            if raw_id(point) in in_target and raw_id(point) not in in_source:
                self._findings.note(EXTRA, _id(point))

    def _present(self, points: Sequence[bytes], reading: Pending[set[bytes]] | None = None) -> set[bytes]:
        """The raw ids of those of the points that the source has."""
        try:
            return self._answer(partial(self._start_present, points), reading)
        except NotFoundError:
            partitions = self._retrying(partial(self._lease.run_blocking, self._session.source.partitions))
            if self._partition in partitions:
                raise
            # The source has no such shard key: none of the points is there.
            return set()

    def _start_present(self, points: Sequence[bytes]) -> Pending[set[bytes]]:
        return self._session.source.start_present(
            self._partition if self._session.router.keeps_partitions else None, points
        )


def _id(point: bytes) -> str:
    return PointKey.of(point_id(point)).text
