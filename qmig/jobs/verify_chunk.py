"""Verify one chunk of the source: compare each of its points with the target's."""

from collections.abc import Sequence
from copy import deepcopy
from functools import cached_property, partial

from qmig.errors import TerminalError
from qmig.jobs.chunk_io import ChunkIO
from qmig.jobs.in_flight import Read
from qmig.jobs.recheck import Rechecks, one_ahead
from qmig.jobs.sampling import SampleRead
from qmig.ledger.findings import Checks, FindingKind, Findings
from qmig.ledger.records import ChunkRecord, MigrationRecord
from qmig.ledger.rejects import rejects_of
from qmig.qdrant.batch import Batch
from qmig.qdrant.keys import PointKey
from qmig.qdrant.passthrough import point_id, raw_id
from qmig.sources.base import Pending

# A shard key of the target, and the read of the points that belong there.
Lookup = tuple[str | None, Read[Batch]]


def verify_chunk(io: ChunkIO, record: MigrationRecord) -> ChunkRecord:
    """Compare a chunk's points in the source with the points in the target. Return the chunk's last record.

    The next batch is read at both ends while a batch is being compared. Points that differ are rechecked.
    """
    verification = _Verification(io, record)
    findings = verification.findings
    rechecks = Rechecks(io, findings, verification.recheck)
    batches = io.batches(verification.start_read)
    for batch, lookups in one_ahead((batch, verification.look_up_in_turn(batch)) for batch in batches):
        rechecks.add(batch, verification.suspects(batch.points, lookups))
    rechecks.end()
    if verification.is_complete and findings.missing:
        # The chunk expects as many points as were copied: what the source has beyond that was added later.
        findings.surplus = max(0, io.chunk.read - io.chunk.expected)
        findings.may_be_new = min(findings.missing, findings.surplus)
    return io.finish(findings=findings)


class _Verification:
    """The comparison of the chunk's points, and its findings."""

    def __init__(self, io: ChunkIO, record: MigrationRecord) -> None:
        self.findings = deepcopy(io.chunk.findings) or Findings()
        self._io = io
        self._session = io.session
        self._chunk = io.chunk
        self._checks = record.checks or Checks()
        #: The id of the migration that is verified.
        self._migration = record.verifies

    @property
    def is_complete(self) -> bool:
        """Whether all points are compared, not a sample."""
        return self._checks.share == 1

    def start_read(self, key: str | None, limit: int) -> Pending[Batch]:
        """Start to read the source's points from a key on, or a sample of them."""
        source, chunk = self._session.source, self._chunk
        if self.is_complete:
            return source.start_read(chunk.partition, key, chunk.end, limit)
        return SampleRead(source, self._checks.share, chunk.partition, key, chunk.end, limit)

    # The first check

    def look_up_in_turn(self, batch: Batch) -> list[Lookup]:
        """Start to read the target's points with the ids of a batch, as soon as the rate limit allows."""
        self._io.wait_for_turn(len(batch.points))
        return self._look_up(batch.points)

    def _look_up(self, points: Sequence[bytes]) -> list[Lookup]:
        target = self._session.target
        return [
            (shard_key, self._io.start(partial(target.start_get, shard_key, [raw_id(point) for point in group])))
            for shard_key, group in self._session.router.route(points, self._chunk.partition).groups.items()
        ]

    def suspects(self, points: Sequence[bytes], lookups: Sequence[Lookup]) -> list[bytes]:
        """Wait for the target's points. Return the source's points that seem to be missing or different there."""
        stored = self._stored(lookups)
        difference = self._session.comparison.difference
        suspects = []
        for point in points:
            found = stored.get(raw_id(point))
            if found is None or (point != found and difference(point, found) is not None):
                suspects.append(point)
        return suspects

    def _stored(self, lookups: Sequence[Lookup]) -> dict[bytes, bytes]:
        """Wait for the target's points. Return them by their raw ids."""
        stored: dict[bytes, bytes] = {}
        for shard_key, read in lookups:
            try:
                batch = self._io.result(read)
            except TerminalError:
                if shard_key is None or shard_key in self._io.run_blocking(self._session.target.partitions):
                    raise
                # The target has no such shard key: none of its points is there.
                continue
            stored.update((raw_id(point), point) for point in batch.points)
        return stored

    # The second check

    def recheck(self, suspects: Sequence[bytes]) -> None:
        """Read suspects again at both ends, note what is still wrong, and repair it if that is asked for."""
        source = self._session.source
        keys = [source.key_of(point) for point in suspects]
        batch = self._io.read(partial(source.start_points, self._chunk.partition, keys))
        in_source, invalid = batch.points, {row.point for row in batch.invalid_rows}
        current = {raw_id(point): point for point in in_source}
        stored = self._stored(self._look_up(in_source))
        wrong = []
        for suspect in suspects:
            point = current.get(raw_id(suspect))
            if point is None:
                point_id_text = PointKey.of(point_id(suspect)).text
                if point_id_text in invalid:
                    self.findings.note(FindingKind.REJECTED, point_id_text)
                else:
                    self.findings.deleted += 1
            elif self._note_if_wrong(point, stored.get(raw_id(point))):
                self.findings.changing += self._difference(suspect, point) is not None
                wrong.append(point)
        if wrong and self._checks.repair:
            self._repair(wrong)

    def _note_if_wrong(self, point: bytes, stored: bytes | None) -> bool:
        """Note a source's point that is missing or different in the target. Return whether it can be repaired."""
        if stored is None:
            is_reject = PointKey.of(point_id(point)).text in self._rejects
            self.findings.note(FindingKind.REJECTED if is_reject else FindingKind.MISSING, self._name(point))
            return not is_reject
        difference = self._difference(point, stored)
        if difference is None:
            return False
        name = self._name(point)
        self.findings.note(FindingKind.DIFFERENT, name)
        self.findings.first = self.findings.first or f"{name}: {difference}"
        return True

    @cached_property
    def _rejects(self) -> set[str]:
        """The ids of the chunk's points that could not be copied."""
        read = partial(rejects_of, self._session.ledger, self._migration, self._chunk.index)
        return {reject.point for reject in self._io.run_blocking(read)}

    def _repair(self, points: Sequence[bytes]) -> None:
        """Copy points again, and count those that are the same in the target afterwards."""
        write = self._io.start_write(Batch(list(points), None))
        for point, reason in (*write.unroutable, *self._io.refused_points(write)):
            self.findings.refused = self.findings.refused or f"{self._name(point)}: {reason}"
        self.findings.repaired += len(points) - len(self.suspects(points, self._look_up(points)))

    def _difference(self, point: bytes, stored: bytes) -> str | None:
        return self._session.comparison.difference(point, stored)

    def _name(self, point: bytes) -> str:
        """A point for the report: its id, and its key in the source where the key is another."""
        point_id_text, key = PointKey.of(point_id(point)).text, self._session.source.key_of(point)
        return point_id_text if point_id_text == key else f"{point_id_text} (key {key})"
