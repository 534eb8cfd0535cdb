"""Looking through one chunk of the target for points that the source has not."""

from collections.abc import Sequence
from functools import partial

from qmig.errors import NotFoundError
from qmig.jobs.check_chunk import ChunkCheck
from qmig.jobs.sampling import in_share
from qmig.ledger.findings import EXTRA
from qmig.qdrant.keys import PointKey
from qmig.qdrant.passthrough import point_id, raw_id
from qmig.sources.base import Batch, Read

# Points that the source is asked about at once.
AT_ONCE = 5_000

Question = tuple[list[bytes], Read[set[bytes]]]


class ExtraSearch(ChunkCheck[Question]):
    """Asks the source which ids of the target's range it has."""

    def _start_read(self, key: str | None) -> Read[Batch]:
        field = self._ends.source.key_field
        return self._ends.target.start_ids(self._part, key, self._lease.chunk.end, AT_ONCE, field)

    def _learn(self, batch: Batch) -> None:
        """Ids alone tell nothing of the size of the points."""

    def _ask(self, batch: Batch) -> Question:
        share = self._checks.share
        asked = [point for point in batch.points if share == 1 or in_share(_id(point), share)]
        return asked, self._start(partial(self._start_present, asked))

    def _judge(self, points: Sequence[bytes], question: Question) -> list[bytes]:  # noqa: ARG002
        asked, reading = question
        present = self._present(asked, reading)
        return [point for point in asked if raw_id(point) not in present]

    def _look_again_at(self, points: Sequence[bytes]) -> None:
        in_source = self._present(points)
        in_target = self._answer(lambda: self._ends.target.start_present(self._part, points))
        for point in points:
            if raw_id(point) in in_target and raw_id(point) not in in_source:
                self._findings.note(EXTRA, _id(point))

    def _present(self, points: Sequence[bytes], reading: Read[set[bytes]] | None = None) -> set[bytes]:
        """The raw ids of those of the points that the source has."""
        try:
            return self._answer(partial(self._start_present, points), reading)
        except NotFoundError:
            parts = self._retrying(partial(self._lease.during, self._ends.source.parts))
            if self._part in parts:
                raise
            # The source has no such shard key: none of the points is there.
            return set()

    def _start_present(self, points: Sequence[bytes]) -> Read[set[bytes]]:
        return self._ends.source.start_present(self._part if self._ends.router.keeps_parts else None, points)


def _id(point: bytes) -> str:
    return PointKey.of(point_id(point)).text
