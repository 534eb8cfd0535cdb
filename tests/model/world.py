"""One migration with its commands, workers and fleet, on a network that a test steps through; and what must hold."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from qmig.broker.access import AccessGrant
from qmig.broker.task import ChunkTask, MigrationTask
from qmig.coordinator.migrate import Coordinator
from qmig.coordinator.preflight import RunOptions
from qmig.errors import QmigError
from qmig.jobs.reconciliation import holes
from qmig.jobs.runner import Worker
from qmig.ledger import control
from qmig.ledger.ledger import Ledger
from qmig.ledger.records import ChunkRecord, MigrationRecord, State
from qmig.migration import Credentials, Endpoint, Migration, Options, Routing, SourceSpec, TargetSpec
from qmig.qdrant import messages as api
from qmig.qdrant.server import Server
from tests.model.fleet import MemoryFleet
from tests.model.messages import WRITES, is_batch
from tests.model.network import Actor, Network
from tests.support.collections import contents, create, create_shard_key, dense_params, fill, simple_points

POINTS = 12
CHUNK_SIZE = 4
SHARD_KEYS = ("one", "two")
# Seconds for which a worker retries.
RETRY_FOR = 60.0
ENDPOINT = Endpoint("model.invalid", 6334)

numbers = itertools.count()


class Silent:
    """The view of a command that nobody looks at."""

    def say(self, text: str) -> None:
        pass

    def warn(self, text: str) -> None:
        pass

    def show(self, progress: Any) -> None:
        pass


@dataclass
class World:
    """The target has two shard keys, and each command says which of them gets the points."""

    network: Network

    def __post_init__(self) -> None:
        number = next(numbers)
        self.names = (f"source-{number}", f"target-{number}", f"ledger-{number}")
        self.server = Server(ENDPOINT, "model")
        source, target, _ = self.names
        create(self.server, source, dense_params())
        fill(self.server, source, simple_points(POINTS))
        create(self.server, target, dense_params(), sharding_method=api.Custom)
        for key in SHARD_KEYS:
            create_shard_key(self.server, target, f'"{key}"')
        self.migration = self._migration(SHARD_KEYS[0])
        self.ledger = Ledger(self.server, self.names[2])
        self.ledger.create()
        self.fleet = MemoryFleet(self.network)
        access = AccessGrant.of(self.migration, Credentials()).to_text()
        self.task = MigrationTask(migration=self.migration.id, access=access)
        self._done: set[int] = set()
        self._finished: dict[str, float | None] = {}
        self._written: Counter[tuple[str, int]] = Counter()
        self._started = 0.0
        self._is_written = True
        self.network.observe = self._observe

    def _migration(self, shard_key: str) -> Migration:
        source, target, ledger = self.names
        return Migration(
            SourceSpec("qdrant", ENDPOINT, source),
            TargetSpec(ENDPOINT, target, ledger),
            Options(batch_size=2, retry_for=RETRY_FOR),
            Routing(shard_key=shard_key),
        )

    @property
    def record(self) -> MigrationRecord | None:
        return self.ledger.migration(self.migration.id)

    @property
    def plan(self) -> list[ChunkRecord]:
        """The chunks of the plan so far."""
        record = self.record
        return [] if record is None else self.ledger.chunks(record.migration, range(record.chunks))

    @property
    def shard_key(self) -> str:
        """The shard key that the migration routes its points to."""
        record = self.record
        return (record.definition.routing.shard_key if record is not None else None) or SHARD_KEYS[0]

    @property
    def is_planned(self) -> bool:
        """Whether the plan is complete."""
        record = self.record
        return record is not None and record.planned

    # The actors

    def command(self, shard_key: str, restart: bool) -> Actor:
        """`qmig qdrant`, perhaps with --restart-migration."""

        def migrate() -> None:
            options = RunOptions(restart=restart, chunk_size=CHUNK_SIZE)
            with Coordinator(self._migration(shard_key), Credentials(), options, Silent()) as coordinator:
                coordinator.run(self.fleet, coordinator.preflight(), lambda: False)

        return self._start("restart" if restart else "command", migrate)

    def worker(self, index: int, is_requeued: bool) -> Actor:
        """A worker with the task of one chunk: a new one, or the last that the supervisor has queued."""
        new = ChunkTask(migration_task=self.task, chunk=index)
        task = self.fleet.chunk_tasks.get(index, new) if is_requeued else new
        return self._start(f"worker-{index}", lambda: Worker(lambda: self.fleet).run_chunk(task, lambda _: None))

    def supervisor(self) -> Actor:
        return self._start("supervisor", lambda: Worker(lambda: self.fleet).supervise(self.task))

    def control(self, verb: str) -> Actor:
        """`qmig pause`, `resume`, `cancel` or `throttle`."""

        def change() -> None:
            record = self.ledger.migration(self.migration.id)
            if record is not None:
                arguments = (None,) if verb == "throttle" else ()
                getattr(control, verb)(self.ledger, record, *arguments)

        return self._start(verb, change)

    def _start(self, name: str, body: Callable[[], Any]) -> Actor:
        def run() -> Any:
            try:
                return body()
            except QmigError as error:
                return error

        return self.network.start(name, run)

    def run_to_the_end(self, actor: Actor, steps: int = 5000) -> Any:
        """Let an actor run without anything else. Return its result, or the error that it ended with."""
        for _ in range(steps):
            if not actor.is_alive:
                break
            self.network.step(actor)
        assert not actor.is_alive, f"{actor.name} does not end"
        return actor.outcome

    # What must hold

    def _observe(self, path: str, request: Any) -> None:
        self._is_written = self._is_written or path in WRITES
        if is_batch(path, request):
            upsert = api.UpsertPoints.FromString(request)
            (key,) = upsert.shard_key_selector.shard_keys
            self._written.update((key.keyword, point.id.num) for point in upsert.points)

    def check(self) -> None:
        """Look at the ledger and the target, if something was written since the last look."""
        record = self.record if self._is_written else None
        self._is_written = False
        if record is None:
            return
        if record.started != self._started:
            self._started = record.started
            self._done.clear()
            self._written.clear()
        chunks = self.plan
        self._check_plan(record, chunks)
        target = self._ids(record)
        for chunk in chunks:
            self._check_chunk(chunk, target)
        self._check_end(record, chunks, target)

    def _check_plan(self, record: MigrationRecord, chunks: list[ChunkRecord]) -> None:
        # While it is being made, a plan has no end yet.
        whole = chunks if record.planned else [*chunks[:-1], *(replace(last, end=None) for last in chunks[-1:])]
        found = holes(whole)
        assert not found, f"{found} in {chunks}"

    def _check_chunk(self, chunk: ChunkRecord, target: set[int]) -> None:
        assert chunk.state == State.DONE or chunk.index not in self._done, f"chunk {chunk.index} was done"
        if chunk.state == State.DONE:
            self._done.add(chunk.index)
        start = int(chunk.start or 0)
        end = POINTS if chunk.end is None else int(chunk.end)
        offset = start if chunk.offset is None else int(chunk.offset)
        copied = range(start, end if chunk.state == State.DONE else offset)
        missing = [point for point in copied if point not in target]
        assert not missing, f"chunk {chunk.index} is at {chunk.offset}, and {missing} are not in the target"

    def _check_end(self, record: MigrationRecord, chunks: list[ChunkRecord], target: set[int]) -> None:
        if record.state == State.DONE:
            assert record.planned, "done without a plan"
            assert {chunk.state for chunk in chunks} == {State.DONE}
            assert target == set(range(POINTS)), "done without all points"
            before = self._finished.setdefault(record.run, record.finished)
            assert before == record.finished, "the time of the end moves"

    def _ids(self, record: MigrationRecord) -> set[int]:
        """The ids in the shard key that the migration routes its points to."""
        return {int(key) for key in contents(self.server, self.names[1], f'"{record.definition.routing.shard_key}"')}

    def written(self, shard_key: str) -> int:
        """How many points were written to a shard key since the migration was begun, repeats included."""
        return sum(times for (key, _), times in self._written.items() if key == shard_key)

    def check_repeats(self) -> None:
        """No claim of a chunk copies a point twice."""
        record = self.record
        assert record is not None
        for chunk in self.plan:
            for point in range(int(chunk.start or 0), POINTS if chunk.end is None else int(chunk.end)):
                written = self._written[record.definition.routing.shard_key or "", point]
                assert written <= chunk.claims, f"point {point} was written {written} times in {chunk.claims} claims"
