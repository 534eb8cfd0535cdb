"""One migration with its commands, workers and fleet, on a network that a test steps through."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from qmig.broker.access import AccessGrant
from qmig.broker.task import ChunkTask, MigrationTask
from qmig.coordinator.migrate import Coordinator
from qmig.coordinator.preflight import RunOptions
from qmig.errors import QmigError
from qmig.jobs.runner import Worker
from qmig.ledger import control
from qmig.ledger.cancel import cancel
from qmig.ledger.ledger import Ledger
from qmig.ledger.records import ChunkRecord, MigrationRecord, State
from qmig.migration import Credentials, Endpoint, Migration, Options, Routing, SourceSpec, TargetSpec
from qmig.qdrant import messages as api
from qmig.qdrant.server import Server
from tests.model.fleet import Host, MemoryFleet
from tests.model.invariants import Invariants, shard_key_of
from tests.model.network import Actor, Network
from tests.support.collections import create, create_shard_key, delete, dense_params, fill, simple_points

POINTS = 8
CHUNK_SIZE = 4
SHARD_KEYS = ("one", "two")
HOSTS = 2
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


class World:
    """A migration of a source with one shard key. Each command says which of the target's two gets the points."""

    def __init__(self, network: Network, is_created: bool = False, beside: World | None = None) -> None:
        """`is_created`: the migration creates the target. `beside`: a world whose target this one loads too."""
        self.network = network
        number = next(numbers)
        self.server = Server(ENDPOINT, "model")
        self.source, self.target, ledger = f"source-{number}", f"target-{number}", f"ledger-{number}"
        if beside is not None:
            self.target, ledger = beside.target, beside.ledger.name
        points = range(POINTS) if beside is None else range(POINTS, 2 * POINTS)
        self._create(self.source, SHARD_KEYS[:1])
        fill(self.server, self.source, simple_points(POINTS, points.start), f'"{SHARD_KEYS[0]}"')
        if not is_created and beside is None:
            self._create(self.target, SHARD_KEYS)
        self.ledger = Ledger(self.server, ledger)
        self.migration = self._migration(SHARD_KEYS[0])
        self.fleet = MemoryFleet(network)
        self.hosts = [Host(self.fleet) for _ in range(HOSTS)]
        access = AccessGrant.of(self.migration, Credentials()).to_text()
        self.task = MigrationTask(migration=self.migration.id, access=access)
        self.ledger.create()
        self.must = Invariants(self.ledger, self.migration.id, self.target, points)
        self.check = self.must.check
        network.observers.append(self.must.observe)

    def close(self) -> None:
        """Kill the actors, and delete the collections: each takes up space on the disk."""
        self.network.kill_all()
        for name in (self.source, self.target, self.ledger.name):
            delete(self.server, name)

    def _create(self, name: str, shard_keys: tuple[str, ...]) -> None:
        create(self.server, name, dense_params(), sharding_method=api.Custom)
        for key in shard_keys:
            create_shard_key(self.server, name, f'"{key}"')

    def _migration(self, shard_key: str) -> Migration:
        return Migration(
            SourceSpec("qdrant", ENDPOINT, self.source),
            TargetSpec(ENDPOINT, self.target, self.ledger.name),
            Options(batch_size=2, retry_for=RETRY_FOR),
            Routing(shard_key=f'"{shard_key}"'),
        )

    @property
    def record(self) -> MigrationRecord | None:
        return self.must.record

    @property
    def plan(self) -> list[ChunkRecord]:
        """The chunks of the plan so far."""
        return self.must.plan

    @property
    def state(self) -> State | None:
        """The migration's state, where it has begun."""
        record = self.record
        return None if record is None else record.state

    @property
    def shard_key(self) -> str:
        """The shard key that the migration routes its points to."""
        record = self.record
        return SHARD_KEYS[0] if record is None else shard_key_of(record)

    @property
    def is_planned(self) -> bool:
        """Whether the plan is complete."""
        record = self.record
        return record is not None and record.planned

    # The actors

    def command(self, shard_key: str, restart: bool, is_detached: bool = False) -> Actor:
        """`qmig qdrant -c`, perhaps with --restart-migration and --detach."""

        def migrate() -> None:
            options = RunOptions(restart=restart, chunk_size=CHUNK_SIZE, create_target=True)
            with Coordinator(self._migration(shard_key), Credentials(), options, Silent()) as coordinator:
                run = coordinator.detach if is_detached else coordinator.run
                run(self.fleet, coordinator.preflight(), lambda: False)

        return self._start("restart" if restart else "command", migrate)

    def restart(self) -> Actor:
        """The command that begins the migration again, with the other shard key."""
        (other,) = set(SHARD_KEYS) - {self.shard_key}
        return self.command(other, restart=True)

    def worker(self, index: int, age: int | None = None) -> Actor:
        """A worker with the task of one chunk: a new one, or one that was queued, the last with an `age` of 0."""
        record = self.record
        task = ChunkTask(migration_task=self.task, run="" if record is None else record.run, chunk=index)
        queued = self.fleet.chunk_tasks.get(index, [])
        if age is not None and queued:
            task = queued[-1 - age % len(queued)]
        return self.run_task(task)

    def run_task(self, task: ChunkTask) -> Actor:
        """A worker with a task."""
        worker = Worker(lambda: self.fleet)

        def run() -> str:
            try:
                return worker.run_chunk(task, lambda _: None)
            finally:
                with suppress(QmigError):
                    worker.after_chunk(task)

        return self._start(f"worker-{task.chunk}", run)

    def supervisor(self) -> Actor:
        return self._start("supervisor", lambda: Worker(lambda: self.fleet).supervise(self.task))

    def timer(self, host: int) -> Actor:
        """The timer of a host's workers, and the supervision that it queues."""

        def fire() -> None:
            for task in self.hosts[host].due():
                Worker(lambda: self.fleet).supervise(task)

        return self._start("timer", fire)

    def control(self, verb: str) -> Actor:
        """`qmig pause`, `resume`, `cancel` or `throttle`."""

        def change() -> None:
            record = self.ledger.migration(self.migration.id)
            if record is None:
                return
            if verb == "cancel":
                cancel(self.ledger, record)
            elif verb == "throttle":
                control.throttle(self.ledger, record, None)
            else:
                getattr(control, verb)(self.ledger, record)

        return self._start(verb, change)

    def is_for_source(self, actor: Actor) -> bool:
        """Whether the actor waits for an answer about the source."""
        names = [str(message.request) for message in actor.waits_for]
        return any(self.source in name for name in names)

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
