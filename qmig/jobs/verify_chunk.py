"""Verifying one chunk of the source: is each of its points in the target, and the same?"""

from collections.abc import Sequence
from functools import cached_property, partial

from qmig.errors import ContentsRefusedError, TerminalError
from qmig.jobs.check_chunk import ChunkCheck
from qmig.jobs.sampling import SampleRead
from qmig.ledger.findings import DIFFERENT, MISSING, REJECTED
from qmig.ledger.rejects import rejects_of
from qmig.qdrant.batch import Batch
from qmig.qdrant.keys import PointKey
from qmig.qdrant.passthrough import point_id, raw_id
from qmig.sources.base import Pending

# A request to the target under way: the shard key, the ids, the answer.
Request = tuple[str | None, list[bytes], Pending[Batch]]


class ChunkVerification(ChunkCheck[list[Request]]):
    """Compares the points of the source's range with those that the target has under the same ids."""

    def _start_read(self, key: str | None) -> Pending[Batch]:
        if self._checks.share == 1:
            return super()._start_read(key)
        end = self._lease.chunk.end
        return SampleRead(self._session.source, self._checks.share, self._partition, key, end, self._limit)

    def _ask(self, batch: Batch) -> list[Request]:
        return self._request(batch.points)

    def _request(self, points: Sequence[bytes]) -> list[Request]:
        requests: list[Request] = []
        for key, group in self._session.router.route(points, self._partition).groups.items():
            ids = [raw_id(point) for point in group]
            start = partial(self._session.target.start_get, key, ids)
            requests.append((key, ids, self._start(start)))
        return requests

    def _judge(self, points: Sequence[bytes], question: list[Request]) -> list[bytes]:
        stored = self._stored(question)
        difference = self._session.comparison.difference
        wrong = []
        for point in points:
            found = stored.get(raw_id(point))
            if found is None or (point != found and difference(point, found) is not None):
                wrong.append(point)
        return wrong

    def _stored(self, question: list[Request]) -> dict[bytes, bytes]:
        """The target's points by their raw ids."""
        stored: dict[bytes, bytes] = {}
        target = self._session.target
        for key, ids, reading in question:
            try:
                batch = self._answer(partial(target.start_get, key, ids), reading)
            except TerminalError:
                if key is None or key in target.partitions():
                    raise
                # The target has no such shard key: none of its points is there.
                continue
            stored.update((raw_id(point), point) for point in batch.points)
        return stored

    def _look_again_at(self, points: Sequence[bytes]) -> None:
        source = self._session.source
        keys = [source.key_of(point) for point in points]
        there = self._answer(lambda: source.start_points(self._partition, keys)).points
        now = {raw_id(point): point for point in there}
        stored = self._stored(self._request(there))
        wrong = []
        for point in points:
            fresh = now.get(raw_id(point))
            if fresh is None:
                self._findings.deleted += 1
            elif self._note(fresh, stored.get(raw_id(point))):
                self._findings.changing += self._session.comparison.difference(point, fresh) is not None
                wrong.append(fresh)
        if wrong and self._checks.repair:
            self._repair(wrong)

    def _note(self, point: bytes, stored: bytes | None) -> bool:
        """Whether something is wrong with the source's point, noted by its id."""
        if stored is None:
            is_reject = PointKey.of(point_id(point)).text in self._rejects
            self._findings.note(REJECTED if is_reject else MISSING, self._name(point))
            return not is_reject
        what = self._session.comparison.difference(point, stored)
        if what is None:
            return False
        name = self._name(point)
        self._findings.note(DIFFERENT, name)
        self._findings.first = self._findings.first or f"{name}: {what}"
        return True

    @cached_property
    def _rejects(self) -> set[str]:
        """The points of this chunk that could not be copied."""
        return {one.point for one in rejects_of(self._session.ledger, self._of, self._lease.chunk.index)}

    def _name(self, point: bytes) -> str:
        """A point for the report: its id, and its key in the source where that is another."""
        name, key = PointKey.of(point_id(point)).text, self._session.source.key_of(point)
        return name if name == key else f"{name} (key {key})"

    def _repair(self, points: Sequence[bytes]) -> None:
        """Copy the points again, and count those that are the same then."""
        upserts, strays = self._session.writer.start(points, self._partition)
        refusals = list(strays)
        for upsert in upserts:
            try:
                self._wait_for(upsert)
            except ContentsRefusedError as refused:
                refusals += [(point, str(reason)) for point, reason in self._isolated(upsert, refused)]
        for point, reason in refusals:
            self._findings.refused = self._findings.refused or f"{self._name(point)}: {reason}"
        stored = self._stored(self._request(points))
        for point in points:
            found = stored.get(raw_id(point))
            if found is not None and self._session.comparison.difference(point, found) is None:
                self._findings.repaired += 1

    def _conclude(self) -> None:
        """The plan of a verification aims at what was copied: what the source has beyond that is new since."""
        if self._checks.share == 1 and self._findings.missing:
            self._findings.surplus = max(0, self._read - self._lease.chunk.expected)
            self._findings.may_be_new = min(self._findings.missing, self._findings.surplus)
