"""The fleet's shared state on Redis: registered migrations, workers' heartbeats, locks, and what was queued and seen.

All of it may be lost: coordinators and workers register a migration again, and the rest is restored from the
ledger. A value under these keys that qmig did not write counts as lost too: the log names it, and it is replaced.
"""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import msgspec
import redis

from qmig.broker.task import QUEUE, MigrationTask
from qmig.broker.url import TIMEOUTS
from qmig.errors import TerminalError, TransientError
from qmig.formatting import one_line
from qmig.ledger.stalled import LastChange
from qmig.migration import redacted

#: A hash by queue: the `MigrationTask` of each registered migration.
MIGRATIONS = "qmig:migrations:"
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
#: How Redis' error begins where a key holds another kind of value than the command is for.
WRONG_TYPE = "WRONGTYPE"
#: Redis' answer to PTTL for a key that never expires.
NO_TTL = -1

Value = TypeVar("Value")

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
    """The shared state on the Redis at `url`; TransientError while it is unavailable.

    Migrations are registered by the `queue` of their tasks.
    """

    def __init__(self, url: str, queue: str) -> None:
        """ValueError if `url` does not name a Redis."""
        self._url = url
        self._migrations = MIGRATIONS + queue
        self._redis = redis.Redis.from_url(url, **TIMEOUTS)

    def close(self) -> None:
        self._redis.close()

    def ping(self) -> None:
        """Raise redis-py's error if the Redis cannot be used."""
        self._redis.ping()

    # Registered migrations

    def register(self, task: MigrationTask) -> None:
        """Let the fleet supervise the task's migration until `forget`."""
        self._call("hset", self._migrations, task.migration, msgspec.json.encode(task.to_kwargs()))

    def forget(self, migration: str) -> None:
        """End the supervision of a migration."""
        self._call("hdel", self._migrations, migration)

    def is_registered(self, migration: str) -> bool:
        return bool(self._call("hexists", self._migrations, migration))

    def registered(self) -> list[MigrationTask]:
        """The task of each registered migration. One that is malformed is left out, and named in the log."""
        tasks = []
        for value in self._call("hvals", self._migrations):
            try:
                tasks.append(MigrationTask.from_kwargs(_decode(value, dict[str, Any])))
            except (TerminalError, ValueError) as error:
                log.warning("a registered migration is not supervised: %s", one_line(error))
        return tasks

    def is_due(self, migration: str, every: float) -> bool:
        """Whether `every` seconds have passed since this was last true for the migration, on any host."""
        return self._set_for(DUE + migration, every)

    def claim_supervision(self, migration: str) -> bool:
        """Whether a supervision of the migration may be queued: at most one waits for a worker at any time."""
        return self._set_for(SUPERVISION_QUEUED + migration, SUPERVISION_EXPIRES)

    def supervision_started(self, migration: str) -> None:
        """Allow the next supervision to be queued: what is written from now on, this one may not see."""
        self._call("delete", SUPERVISION_QUEUED + migration)

    # Workers

    def send_heartbeat(self, worker: WorkerInfo) -> None:
        """Tell the fleet that a worker is alive; a worker repeats this every few seconds."""
        seen_now = msgspec.structs.replace(worker, seen=self.now())
        self._call("hset", WORKERS, worker.name, msgspec.json.encode(seen_now))

    def deregister(self, name: str) -> None:
        """Tell the fleet that a worker leaves."""
        self._call("hdel", WORKERS, name)

    def workers(self) -> list[WorkerInfo]:
        """The workers that have sent a heartbeat lately, by name."""
        known = [worker for value in self._call("hvals", WORKERS) if (worker := _worker_info(value))]
        oldest = self.now() - WORKER_EXPIRES
        for worker in known:
            if worker.seen < oldest:
                self.deregister(worker.name)
        return sorted((worker for worker in known if worker.seen >= oldest), key=lambda worker: worker.name)

    @contextmanager
    def lock(self, migration: str) -> Iterator[bool]:
        """Hold the migration's lock; False if another worker holds it."""
        lock = self._redis.lock(
            LOCK + migration, timeout=LOCK_SECONDS, blocking_timeout=LOCK_WAIT, thread_local=False
        )
        if not self._guarded(lock.acquire):
            self._delete_if_no_ttl(LOCK + migration)
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
        return self._read(QUEUED + run, _count) or 0

    def save_queued_chunks(self, run: str, chunks: int) -> None:
        """Note how many of the run's chunks have been queued."""
        self._call("set", QUEUED + run, chunks, ex=KEY_EXPIRES)

    def length(self, queues: tuple[str, ...]) -> int:
        """Number of tasks in these queues."""
        return sum(int(self._call("llen", queue)) for queue in queues)

    def now(self) -> float:
        """Redis' own clock, in seconds: the hosts of a fleet need not agree on the time."""
        seconds, microseconds = self._call("time")
        return float(seconds) + float(microseconds) / 1e6

    def last_changes(self, run: str) -> dict[int, LastChange]:
        """The last change of each chunk that was noted, by the chunk's index."""
        return self._read(LAST_CHANGES + run, _last_changes) or {}

    def save_last_changes(self, run: str, last_changes: dict[int, LastChange]) -> None:
        """Note the last change of each chunk."""
        self._call("set", LAST_CHANGES + run, msgspec.json.encode(last_changes), ex=KEY_EXPIRES)

    # Failures that cannot be written to the ledger

    def report_ledger_failure(self, run: str, error: str) -> None:
        """Report why the ledger cannot be written."""
        self._call("set", LEDGER_FAILURE + run, error, ex=LEDGER_FAILURE_SECONDS)

    def ledger_failure(self, run: str) -> str | None:
        """Why the ledger cannot be written, if that was reported within the last minute."""
        return self._read(LEDGER_FAILURE + run, bytes.decode)

    # Calls

    def _read(self, key: str, parse: Callable[[bytes], Value]) -> Value | None:
        """The value of a key; None if there is none, or one that qmig did not write: `parse` raises ValueError."""
        value = self._call("get", key)
        if value is None:
            return None
        try:
            return parse(value)
        except ValueError as error:
            self._clear(key, one_line(error))
            return None

    def _clear(self, key: str, problem: str) -> None:
        """Delete the value of a key that somebody else wrote, and log it."""
        log.warning("the broker held a value under %s that is not qmig's: %s; it was deleted", key, problem)
        self._guarded(self._redis.delete, key)

    def _set_for(self, key: str, seconds: float) -> bool:
        """Set a key that expires by itself; whether it did not exist before."""
        if self._call("set", key, "1", nx=True, px=int(seconds * 1000)):
            return True
        self._delete_if_no_ttl(key)
        return False

    def _delete_if_no_ttl(self, key: str) -> None:
        """Delete a key without expiry: qmig always sets one, so somebody else wrote it."""
        if self._call("pttl", key) == NO_TTL:
            self._clear(key, "it never expires")

    def _call(self, command: str, *arguments: Any, **settings: Any) -> Any:
        """Send a command whose first argument, if it has any, is the key."""
        call = getattr(self._redis, command)

        def call_once_more_if_cleared(*arguments: Any, **settings: Any) -> Any:
            try:
                return call(*arguments, **settings)
            except redis.ResponseError as error:
                if not str(error).startswith(WRONG_TYPE):
                    raise
                self._clear(arguments[0], "it is of another type")
                return call(*arguments, **settings)

        return self._guarded(call_once_more_if_cleared, *arguments, **settings)

    def _guarded(self, call: Any, *arguments: Any, **settings: Any) -> Any:
        try:
            return call(*arguments, **settings)
        except (redis.RedisError, OSError) as error:
            raise TransientError(f"the broker {redacted(self._url)} does not answer: {error}") from None


def _worker_info(value: bytes) -> WorkerInfo | None:
    """Read what a worker wrote; None if it is malformed."""
    try:
        return _decode(value, WorkerInfo)
    except ValueError:
        return None


def _last_changes(value: bytes) -> dict[int, LastChange]:
    return _decode(value, dict[int, LastChange])


def _count(value: bytes) -> int:
    count = _decode(value, int)
    if count < 0:
        raise ValueError(f"the number {count}")
    return count


def _decode(value: bytes, kind: type[Value]) -> Value:
    """Read JSON as this kind; ValueError if it is something else."""
    try:
        return msgspec.json.decode(value, type=kind)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
