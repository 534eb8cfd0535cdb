"""A migration from Milvus, with a partition that is released and loaded again at random, while workers are killed."""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from pymilvus import DataType

from qmig.embedded.child_process import ChildProcess
from qmig.embedded.redis import EmbeddedRedis
from qmig.migration import Endpoint
from qmig.qdrant.server import Server
from tests.support.collections import new_name
from tests.support.command import run_command
from tests.support.milvus.clients import connect
from tests.support.milvus.migration import Migration
from tests.support.milvus.running import begin
from tests.support.milvus.servers import StandaloneServer
from tests.support.qdrant_servers import qdrant_in
from tests.support.waiting import output_of, until
from tests.support.workers import start_workers

PARTITION = "p1"
#: A part of the only error that a command may end with.
REFUSAL = f"is loaded without its partitions '{PARTITION}'"
# About 20 s with two workers.
SLOWLY = ["-c", "--chunk-size", "2500", "-b", "100", "--batch-delay", "200"]
# Seconds between two releases, and that one lasts.
PAUSES, LASTING = (0.2, 4.0), (0.0, 4.0)
WORKER_KILLED = 0.5
# After so many releases the migration is left alone.
MAX_RELEASES = 10


def missing() -> str:
    """Explain why there is no Milvus that releases partitions; empty where there is one."""
    return StandaloneServer.missing()


@dataclass
class ReleasedPartition:
    """One migration; `log` is what was done, a line each."""

    seed: int
    rows: int = 20_000
    say: Callable[[str], object] = print
    log: list[str] = field(default_factory=list)
    _began: float = field(default_factory=time.monotonic)

    def run(self) -> None:
        """Migrate, and compare every row; AssertionError with seed and log where something is wrong."""
        rng = random.Random(self.seed)
        with own_migration() as migration, EmbeddedRedis() as redis, own_workers(redis.url) as workers:
            self._fill(migration)
            command = begin(migration, *SLOWLY, broker=redis.url)
            self._note("a migration from Milvus begins")
            try:
                for _ in range(MAX_RELEASES):
                    if self._ended_within(command, rng.uniform(*PAUSES)):
                        break
                    self._release(migration, workers, rng)
                    if not command.running and not self._ended_well(command):
                        command = begin(migration, *SLOWLY, broker=redis.url)
                until(lambda: not command.running, "the end of the migration")
                if not self._ended_well(command):
                    command = begin(migration, *SLOWLY, broker=redis.url)
                    until(lambda: not command.running, "the end of the migration")
                assert command.wait() == 0, command.last_lines()
                self._compare(migration)
            except AssertionError as error:
                log = "\n".join(self.log)
                raise AssertionError(f"seed {self.seed}: {error}\n{log}\n{output_of(command, workers)}") from error
        self._note("equal contents")

    def _fill(self, migration: Migration) -> None:
        migration.create(fields={"number": {"datatype": DataType.INT64}})
        migration.client.create_partition(migration.source_name, PARTITION)
        for partition, first in (("_default", 0), (PARTITION, 1)):
            keys = range(first, self.rows, 2)
            rows = [{"pk": key, "number": key, "v": [float(key), 1.0]} for key in keys]
            migration.insert(rows, partition)

    def _release(self, migration: Migration, workers: ChildProcess, rng: random.Random) -> None:
        """Release the partition for a while, and perhaps kill a worker meanwhile."""
        lasting, is_killed = rng.uniform(*LASTING), rng.random() < WORKER_KILLED
        self._note(f"{PARTITION} released for {lasting:.1f} s{' and a worker killed' * is_killed}")
        migration.client.release_partitions(migration.source_name, [PARTITION])
        if is_killed and (children := psutil.Process(workers.pid).children()):
            with suppress(psutil.NoSuchProcess):
                rng.choice(sorted(children, key=lambda child: child.pid)).kill()
        time.sleep(lasting)
        migration.client.load_partitions(migration.source_name, [PARTITION])

    def _ended_within(self, command: ChildProcess, seconds: float) -> bool:
        """Whether the command ends within so long, with status 0."""
        end = time.monotonic() + seconds
        while command.running and time.monotonic() < end:
            time.sleep(0.1)
        return not command.running and self._ended_well(command)

    def _ended_well(self, command: ChildProcess) -> bool:
        """Whether a command has ended with status 0; otherwise it has to name the partition."""
        status, last = command.wait(), command.last_lines()
        assert status == 0 or (status == 1 and REFUSAL in last), f"{command.name} ended with {status}: {last}"
        if status:
            self._note("the command names the partition and ends")
        return status == 0

    def _compare(self, migration: Migration) -> None:
        found = {
            (point.payload["number"], *map(tuple, point.vectors.values())) for point in migration.points().values()
        }
        missed = [key for key in range(self.rows) if (key, (float(key), 1.0)) not in found]
        assert not missed, f"{len(missed)} rows are not in the target, or changed: {missed[:20]}"
        assert len(found) == self.rows, f"{len(found)} points for {self.rows} rows"

    def _note(self, what: str) -> None:
        self.log.append(f"{time.monotonic() - self._began:6.1f} s  {what}")
        self.say(self.log[-1])


@contextmanager
def own_migration() -> Iterator[Migration]:
    """A Milvus and a Qdrant of one's own, and a migration between them."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="qmig-faults-")))
        milvus = stack.enter_context(StandaloneServer(directory / "milvus"))
        qdrant = stack.enter_context(qdrant_in(directory / "target"))
        client = stack.enter_context(closing(connect(milvus.url)))
        target = stack.enter_context(Server(Endpoint.parse(qdrant.url, "target"), "target"))
        names = new_name("target"), new_name("ledger")
        yield Migration(run_command, "", milvus.url, client, "source", target, *names)


@contextmanager
def own_workers(broker_url: str) -> Iterator[ChildProcess]:
    """Two workers, whose children may be killed."""
    workers = start_workers(broker_url)
    try:
        yield workers
    finally:
        workers.stop()
