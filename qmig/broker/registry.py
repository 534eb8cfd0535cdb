"""The fleet's shared state on Redis: registered migrations, workers' heartbeats, locks, and what was queued and seen.

All of it may be lost: coordinators and workers register a migration again, and the rest is restored from the
ledger. A value under these keys that qmig did not write counts as lost too: the log names it, and it is replaced.
"""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import msgspec
import redis

from qmig.broker.connection import BrokerConnection, decode
from qmig.broker.task import QUEUE, MigrationTask
from qmig.errors import TerminalError
from qmig.formatting import one_line
from qmig.ledger.stalled import LastChange

#: A hash by queue: the `MigrationTask` of each registered migration.
MIGRATIONS = "qmig:migrations:"
#: A key by migration that exists for a while after it was forgotten: the fleet's memory lets go of it too.
FORGOTTEN = "qmig:forgotten:"
#: A hash: the `WorkerInfo` of each worker.
WORKERS = "qmig:workers"
#: A key by migration that exists until its next supervision is due.
DUE = "qmig:due:"
#: A key by migration that exists while a supervision of it is queued.
SUPERVISION_QUEUED = "qmig:supervision-queued:"
#: A lock by migration, held by the worker that supervises it.
LOCK = "qmig:lock:"
#: By run: how many chunks have been queued.
QUEUED = "qmig:queued:"
#: By run: the `LastChange` of each chunk that is running or waits.
LAST_CHANGES = "qmig:last-changes:"
#: By run: why the ledger cannot be written.
LEDGER_FAILURE = "qmig:ledger-failure:"

#: Seconds after which the state of a run expires.
KEY_EXPIRES = 7 * 86400
#: Seconds for which a migration counts as forgotten; every worker looks within a few seconds.
FORGOTTEN_SECONDS = 3600
#: Seconds after which a ledger failure expires; one that lasts is reported again by whoever takes the next chunk.
LEDGER_FAILURE_SECONDS = 60
#: Seconds after which a queued supervision counts as lost: the worker that took it may have died.
SUPERVISION_EXPIRES = 30.0
#: Seconds after which a lock expires that its holder no longer renews.
LOCK_SECONDS = 30.0
#: Seconds between two renewals of a lock.
LOCK_RENEWED_EVERY = 10.0
#: Seconds to wait for a lock that another worker holds.
LOCK_WAIT = 5.0
#: Seconds without a heartbeat after which a worker no longer belongs to the fleet.
WORKER_EXPIRES = 15.0

#: Delete a registration and note that it was forgotten, if it is still the given one or no longer there.
FORGET = """
local now = redis.call('HGET', KEYS[1], ARGV[1])
if not now or now == ARGV[2] then
    redis.call('HDEL', KEYS[1], ARGV[1])
    redis.call('SET', KEYS[2], '1', 'EX', ARGV[3])
end
"""

log = logging.getLogger(__name__)


class WorkerInfo(msgspec.Struct, frozen=True):
    """A worker of the fleet. It may run another version of qmig, so unknown fields are ignored."""

    name: str
    #: Version of qmig.
    version: str
    #: Version of the tasks that it takes.
    task_version: int
    #: Number of its processes.
    processes: int
    #: The queue that it takes tasks from.
    queue: str = QUEUE
    #: When it sent its last heartbeat, in seconds of Redis' clock.
    seen: float = 0.0


class FleetRegistry:
    """The shared state on the Redis at `url`; TransientError while it does not answer, or refuses.

    Migrations are registered by the `queue` of their tasks.
    """

    def __init__(self, url: str, queue: str) -> None:
        """ValueError if `url` does not name a Redis."""
        self.broker = BrokerConnection(url)
        self._queue = queue
        self._migrations = MIGRATIONS + queue
        self._forget = self.broker.client.register_script(FORGET)

    def close(self) -> None:
        self.broker.close()

    # Registered migrations

    def register(self, task: MigrationTask) -> None:
        """Let the fleet supervise the task's migration until `forget`. The newest registration counts."""
        self.broker.call("hset", self._migrations, task.migration, _encoded(task))
        self.broker.call("delete", FORGOTTEN + task.migration)

    def register_again(self, task: MigrationTask) -> bool:
        """Register a migration that the broker has lost; False where it is registered."""
        return bool(self.broker.call("hsetnx", self._migrations, task.migration, _encoded(task)))

    def forget(self, task: MigrationTask) -> None:
        """End the supervision of a migration, unless it was registered anew since."""
        keys = [self._migrations, FORGOTTEN + task.migration]
        arguments = [task.migration, _encoded(task), FORGOTTEN_SECONDS]
        self.broker.guarded(self._forget, keys=keys, args=arguments)

    def is_forgotten(self, migration: str) -> bool:
        """Whether the supervision of a migration was ended lately. One that is neither forgotten nor registered was
        lost by the broker."""
        return bool(self.broker.call("exists", FORGOTTEN + migration))

    def registration(self, migration: str) -> MigrationTask | None:
        """The task with which a migration is registered now; None if it is not, or if that is malformed."""
        value = self.broker.call("hget", self._migrations, migration)
        return None if value is None else _registration(value)

    def registered(self) -> list[MigrationTask]:
        """The task of each registered migration. One that is malformed is left out, and named in the log."""
        values = self.broker.call("hvals", self._migrations)
        return [task for value in values if (task := _registration(value)) is not None]

    def is_due(self, migration: str, every: float) -> bool:
        """Whether `every` seconds have passed since this was last true for the migration, on any host."""
        return self.broker.set_for(DUE + migration, every)

    def claim_supervision(self, migration: str) -> bool:
        """Whether a supervision of the migration may be queued: at most one waits for a worker at any time."""
        return self.broker.set_for(SUPERVISION_QUEUED + migration, SUPERVISION_EXPIRES)

    def supervision_started(self, migration: str) -> None:
        """Allow the next supervision to be queued: what is written from now on, this one may not see."""
        self.broker.call("delete", SUPERVISION_QUEUED + migration)

    # Workers

    def send_heartbeat(self, worker: WorkerInfo) -> None:
        """Tell the fleet that a worker is alive; a worker repeats this every few seconds."""
        seen_now = msgspec.structs.replace(worker, seen=self.now())
        self.broker.call("hset", WORKERS, worker.name, msgspec.json.encode(seen_now))

    def deregister(self, name: str) -> None:
        """Tell the fleet that a worker leaves."""
        self.broker.call("hdel", WORKERS, name)

    def workers(self) -> list[WorkerInfo]:
        """The workers that have sent a heartbeat lately, by name."""
        known = [worker for value in self.broker.call("hvals", WORKERS) if (worker := _worker_info(value))]
        now = self.now()
        # A time in the future was noted before Redis' clock was set back.
        online = [worker for worker in known if abs(now - worker.seen) <= WORKER_EXPIRES]
        for worker in known:
            if worker not in online:
                self.deregister(worker.name)
        return sorted(online, key=lambda worker: worker.name)

    def processes(self) -> int:
        """Number of the fleet's worker processes that take tasks from this queue."""
        return sum(worker.processes for worker in self.workers() if worker.queue == self._queue)

    @contextmanager
    def lock(self, migration: str) -> Iterator[bool]:
        """Hold the migration's lock; False if another worker holds it."""
        lock = self.broker.client.lock(
            LOCK + migration, timeout=LOCK_SECONDS, blocking_timeout=LOCK_WAIT, thread_local=False
        )
        if not self.broker.guarded(lock.acquire):
            self.broker.delete_if_stuck(LOCK + migration, LOCK_SECONDS)
            yield False
            return
        released = threading.Event()

        def renew() -> None:
            while not released.wait(LOCK_RENEWED_EVERY):
                with suppress(redis.RedisError, OSError):
                    lock.reacquire()

        threading.Thread(target=renew, daemon=True).start()
        try:
            yield True
        finally:
            released.set()
            # A lock that cannot be released expires.
            with suppress(redis.RedisError, OSError):
                lock.release()

    # The state of a run

    def queued_chunks(self, run: str) -> int:
        """Number of the run's chunks, from the first on, that have been queued."""
        return self.broker.read(QUEUED + run, _count) or 0

    def save_queued_chunks(self, run: str, chunks: int) -> None:
        """Note how many of the run's chunks have been queued."""
        self.broker.call("set", QUEUED + run, chunks, ex=KEY_EXPIRES)

    def length(self, queues: tuple[str, ...]) -> int:
        """Number of tasks in these queues."""
        return sum(int(self.broker.call("llen", queue)) for queue in queues)

    def now(self) -> float:
        """Redis' own clock, in seconds: the hosts of a fleet need not agree on the time."""
        seconds, microseconds = self.broker.call("time")
        return float(seconds) + float(microseconds) / 1e6

    def last_changes(self, run: str) -> dict[int, LastChange]:
        """The last change of each chunk that was noted, by the chunk's index."""
        return self.broker.read(LAST_CHANGES + run, _last_changes) or {}

    def save_last_changes(self, run: str, last_changes: dict[int, LastChange]) -> None:
        """Note the last change of each chunk."""
        self.broker.call("set", LAST_CHANGES + run, msgspec.json.encode(last_changes), ex=KEY_EXPIRES)

    # Failures that cannot be written to the ledger

    def report_ledger_failure(self, run: str, error: str) -> None:
        """Report why the ledger cannot be written."""
        self.broker.call("set", LEDGER_FAILURE + run, error, ex=LEDGER_FAILURE_SECONDS)

    def ledger_failure(self, run: str) -> str | None:
        """Why the ledger cannot be written, if that was reported within the last minute."""
        failure = self.broker.read(LEDGER_FAILURE + run, bytes.decode)
        if failure is not None:
            self.broker.delete_if_stuck(LEDGER_FAILURE + run, LEDGER_FAILURE_SECONDS)
        return failure


def _encoded(task: MigrationTask) -> bytes:
    return msgspec.json.encode(task.to_kwargs())


def _registration(value: bytes) -> MigrationTask | None:
    """Read a registered migration; None, with a line in the log, if it is malformed."""
    try:
        return MigrationTask.from_kwargs(decode(value, dict[str, Any]))
    except (TerminalError, ValueError) as error:
        log.warning("a registered migration is not supervised: %s", one_line(error))
        return None


def _worker_info(value: bytes) -> WorkerInfo | None:
    """Read what a worker wrote; None if it is malformed."""
    try:
        return decode(value, WorkerInfo)
    except ValueError:
        return None


def _last_changes(value: bytes) -> dict[int, LastChange]:
    return decode(value, dict[int, LastChange])


def _count(value: bytes) -> int:
    count = decode(value, int)
    if count < 0:
        raise ValueError(f"the number {count}")
    return count
