"""A running migration, slow enough to be controlled, stopped or killed, and its records in the ledger."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil

from qmig.embedded.child_process import ChildProcess
from qmig.embedded.redis import EmbeddedRedis
from qmig.ledger.ledger import Ledger
from qmig.ledger.owner import Owner
from qmig.ledger.records import ChunkRecord, MigrationRecord
from qmig.monitor.progress import Progress
from tests.support.collections import contents, create, dense_params, fill, simple_points
from tests.support.ends import Ends
from tests.support.waiting import output_of, until
from tests.support.workers import start_workers

POINTS = 6000
# Small batches with a pause between them, four seconds with two workers: slow enough to be killed in the middle.
SLOWLY = ["-c", "--chunk-size", "1500", "-b", "50", "--batch-delay", "60"]
# Twelve seconds: slow enough for other commands to start meanwhile, on a machine that has other things to do.
LEISURELY = [*SLOWLY, "--batch-delay", "200"]


def fill_source(ends: Ends, points: int = POINTS) -> None:
    """Create the source collection and fill it."""
    create(ends.source, ends.source_name, dense_params())
    fill(ends.source, ends.source_name, simple_points(points))


def start(ends: Ends, *arguments: str, broker: str | None = None) -> ChildProcess:
    """`qmig qdrant` between the ends, as a process that can be killed."""
    command = [sys.executable, "-m", "qmig", "qdrant", *ends.arguments, *arguments]
    env = {"QMIG_BROKER_URL": broker} if broker else {}
    return ChildProcess(command, name="qmig qdrant", env=env)


def record_of(ends: Ends) -> MigrationRecord | None:
    return next(iter(Ledger(ends.target, ends.ledger).migrations()), None)


def state_of(ends: Ends) -> str | None:
    record = record_of(ends)
    return None if record is None else record.state


def chunks_of(ends: Ends) -> list[ChunkRecord]:
    record = record_of(ends)
    if record is None or not record.chunks:
        return []
    return Ledger(ends.target, ends.ledger).chunks(record.migration, range(record.chunks))


def owners(ends: Ends) -> list[str]:
    """The owners of chunks, from the ledger."""
    return [chunk.owner for chunk in chunks_of(ends) if chunk.owner]


def worker_at_work(ends: Ends) -> psutil.Process:
    """A worker process of this machine that holds a chunk."""
    owner = until(lambda: owners(ends), "a worker taking a chunk")[0]
    return psutil.Process(Owner.parse(owner).pid)


def kill_worker_at_work(ends: Ends) -> None:
    """Send SIGKILL to a worker process of this machine that holds a chunk."""

    def is_killed_at_work() -> bool:
        owner = until(lambda: owners(ends), "a worker taking a chunk")[0]
        process = psutil.Process(Owner.parse(owner).pid)
        process.suspend()
        if owner in owners(ends):
            process.kill()
            return True
        process.resume()
        return False

    until(is_killed_at_work, "the end of a worker at work")


def copied(ends: Ends) -> int:
    return Progress.of(chunks_of(ends)).points


def until_copied(ends: Ends, points: int) -> None:
    until(lambda: copied(ends) >= points, f"{points} points in the ledger")


def until_state(ends: Ends, state: str) -> None:
    until(lambda: state_of(ends) == state, f"the migration being {state}")


def arrived(ends: Ends) -> bool:
    """Whether the target has the source's points, and the source has some."""
    there = contents(ends.source, ends.source_name)
    return bool(there) and contents(ends.target, ends.target_name) == there


def finish(process: ChildProcess, status: int = 0) -> None:
    """Wait for the end of a command; `status` is its expected exit status."""
    until(lambda: not process.running, f"the end of {process.name}")
    assert process.wait() == status, output_of(process)


@contextmanager
def own_fleet(
    concurrency: int = 2, redis_directory: Path | None = None, env: Mapping[str, str] | None = None
) -> Iterator[tuple[EmbeddedRedis, ChildProcess]]:
    """Start a broker and workers that a test may kill. With a directory the broker keeps its data."""
    with ExitStack() as stack:
        redis = stack.enter_context(EmbeddedRedis(redis_directory))
        yield redis, stack.enter_context(workers_on(redis.url, concurrency, **(env or {})))


@contextmanager
def workers_on(broker_url: str, concurrency: int, **env: str) -> Iterator[ChildProcess]:
    """Start a worker host on this broker. Its log is shown if the test fails."""
    workers = start_workers(broker_url, concurrency, **env)
    try:
        yield workers
    finally:
        workers.stop()
        print(workers.read_stderr())
