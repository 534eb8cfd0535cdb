"""What must hold at every moment of a migration, whatever its actors do."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any

from qmig.errors import NotFoundError
from qmig.jobs.reconciliation import holes
from qmig.ledger.ledger import Ledger
from qmig.ledger.records import ChunkRecord, MigrationRecord, State
from qmig.qdrant import messages as api
from qmig.qdrant.collection import collection_info
from qmig.qdrant.debt import Debt
from tests.model.messages import UPDATE, WRITES, is_batch
from tests.support.collections import contents


@dataclass
class Invariants:
    """Looks at one migration's ledger and target; AssertionError where something does not hold."""

    ledger: Ledger
    migration: str
    target: str
    #: The keys of the source's points.
    points: range
    #: The values of the indexing threshold that were sent to the target, one after another.
    thresholds: list[int] = field(default_factory=list)
    _done: set[int] = field(default_factory=set)
    _planners: dict[int, int] = field(default_factory=dict)
    _finished: float | None = None
    _written: Counter[tuple[str, int]] = field(default_factory=Counter)
    _started: float = 0.0
    _is_written: bool = True

    @property
    def record(self) -> MigrationRecord | None:
        return self.ledger.migration(self.migration)

    @property
    def plan(self) -> list[ChunkRecord]:
        """The chunks of the plan so far."""
        record = self.record
        return [] if record is None else self.ledger.chunks(record.migration, range(record.chunks))

    def observe(self, path: str, request: Any) -> None:
        """Look at a call before the endpoint answers it."""
        self._is_written = self._is_written or path in WRITES
        if path == UPDATE and request.collection_name == self.target:
            if request.optimizers_config.HasField("indexing_threshold"):
                self.thresholds.append(request.optimizers_config.indexing_threshold)
        elif is_batch(path, request):
            upsert = api.UpsertPoints.FromString(request)
            (key,) = upsert.shard_key_selector.shard_keys
            points = [point.id.num for point in upsert.points if point.id.num in self.points]
            self._written.update((key.keyword, point) for point in points)
            record = self.record
            if record is not None and record.state != State.PREPARING and points:
                assert shard_key_of(record) == key.keyword, f"points of an earlier plan come to {key.keyword}"

    def check(self) -> None:
        """Look at the ledger and the target, if something was written since the last look."""
        record = self.record if self._is_written else None
        self._is_written = False
        if record is None:
            return
        if record.started != self._started:
            self._started, self._finished = record.started, None
            self._done.clear()
            self._written.clear()
        chunks = self.plan
        self._check_plan(record, chunks)
        target = self.ids(record)
        for chunk in chunks:
            self._check_chunk(chunk, target)
        self._check_end(record, chunks, target)

    def _check_plan(self, record: MigrationRecord, chunks: list[ChunkRecord]) -> None:
        # While it is being made, a plan has no end yet.
        whole = chunks if record.planned else [*chunks[:-1], *(replace(last, end=None) for last in chunks[-1:])]
        found = holes(whole)
        assert not found, f"{found} in {chunks}"

    def _check_chunk(self, chunk: ChunkRecord, target: set[int]) -> None:
        planner = self._planners.get(chunk.index, 0)
        assert chunk.planner >= planner, f"chunk {chunk.index} of planner {planner} was replaced by {chunk.planner}"
        self._planners[chunk.index] = chunk.planner
        assert chunk.state == State.DONE or chunk.index not in self._done, f"chunk {chunk.index} was done"
        if chunk.state == State.DONE:
            self._done.add(chunk.index)
        keys = self.keys(chunk)
        offset = keys.start if chunk.offset is None else int(chunk.offset)
        copied = keys if chunk.state == State.DONE else range(keys.start, offset)
        missing = [point for point in copied if point not in target]
        assert not missing, f"chunk {chunk.index} is at {chunk.offset}, and {missing} are not in the target"

    def _check_end(self, record: MigrationRecord, chunks: list[ChunkRecord], target: set[int]) -> None:
        if record.state == State.DONE:
            assert record.planned, "done without a plan"
            assert {chunk.state for chunk in chunks} == {State.DONE}
            assert target.issuperset(self.points), "done without all points"
        if record.state in (State.FAILED, State.CANCELLED):
            # It is not done any more.
            self._finished = None
        elif self._finished is not None:
            assert record.finished == self._finished, f"the time of the end moves to {record.finished}"
        elif record.state == State.DONE:
            self._finished = record.finished

    def keys(self, chunk: ChunkRecord) -> range:
        """The keys in a chunk's range."""
        return range(
            self.points.start if chunk.start is None else int(chunk.start),
            self.points.stop if chunk.end is None else int(chunk.end),
        )

    def ids(self, record: MigrationRecord) -> set[int]:
        """The ids in the shard key that the migration routes its points to."""
        try:
            return {
                int(key) for key in contents(self.ledger.server, self.target, record.definition.routing.shard_key)
            }
        except NotFoundError:
            # The target or its shard key is not created yet.
            return set()

    def written(self, shard_key: str) -> int:
        """How many points were written to a shard key since the migration was begun, repeats included."""
        return sum(times for (key, _), times in self._written.items() if key == shard_key)

    def check_repeats(self) -> None:
        """No claim of a chunk copies a point twice."""
        record = self.record
        assert record is not None
        for chunk in self.plan:
            for point in self.keys(chunk):
                written = self._written[shard_key_of(record), point]
                assert written <= chunk.claims, f"point {point} was written {written} times in {chunk.claims} claims"

    def check_settled(self) -> None:
        """The target is owed nothing: its index is on, and its metadata names no load."""
        info = collection_info(self.ledger.server, self.target)
        assert info is not None
        assert info.config.optimizer_config.indexing_threshold > 0
        assert not Debt.of(info).keys


def shard_key_of(record: MigrationRecord) -> str:
    """The shard key that a migration routes its points to, without its quotes."""
    return (record.definition.routing.shard_key or "").strip('"')
