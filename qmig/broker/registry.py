"""What the fleet shares on Redis beside its tasks: the migrations to see to, and what was seen of their chunks.

All of it may be lost: whoever knows a migration registers it again, and what was queued or seen is found anew from
the ledger. So what somebody else wrote there counts as lost too: it is named in the log, and written anew.
"""

import json
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields
from typing import Any, TypeVar

import redis

from qmig.broker.codec import read
from qmig.broker.task import QUEUE, MigrationTask
from qmig.broker.url import TIMEOUTS
from qmig.errors import TerminalError, TransientError
from qmig.ledger.stalled import LastChange
from qmig.migration import redacted

MIGRATIONS, WORKERS = "qmig:migrations:", "qmig:workers"
# By migration, and by run, so that what an earlier run queued or saw does not count.
DUE, LOCK, QUEUED, LAST_CHANGES, LEDGER_FAILURE = (
    "qmig:due:",
    "qmig:lock:",
    "qmig:queued:",
    "qmig:last-changes:",
    "qmig:ledger-failure:",
)
KEY_EXPIRES = 7 * 86400
# Trouble that lasts is noted again by whoever takes a chunk next.
LEDGER_FAILURE_SECONDS = 60
# A lock is renewed as long as its holder lives, and waited for when another has it.
LOCK_SECONDS, LOCK_RENEWED_EVERY, LOCK_WAIT = 30.0, 10.0, 5.0
# Seconds after which a worker that has not signed in again is gone.
WORKER_EXPIRES = 15.0
# What Redis says where a key holds another kind of value than the command is for, and of a key that never ends.
WRONG_TYPE, ENDLESS = "WRONGTYPE", -1

Note = TypeVar("Note")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class WorkerInfo:
    """A worker of the fleet: `version` is qmig's, `tasks` that of the tasks it takes; `seen` is by Redis' clock.

    `queue` is the one that it takes tasks from.
    """

    name: str
    version: str
    tasks: int
    processes: int
    queue: str = QUEUE
    seen: float = 0.0


class FleetRegistry:
    """The shared notes on the Redis at `url`; TransientError wherever it is away.

    Migrations are noted by the `queue` of their tasks.
    """

    def __init__(self, url: str, queue: str) -> None:
        """ValueError where `url` names no Redis."""
        self._url = url
        self._migrations = MIGRATIONS + queue
        self._redis = redis.Redis.from_url(url, **TIMEOUTS)

    def close(self) -> None:
        self._redis.close()

    def ping(self) -> None:
        """Raise what redis-py raises where the Redis cannot be used."""
        self._redis.ping()

    # The migrations that the fleet sees to

    def register(self, task: MigrationTask) -> None:
        self._call("hset", self._migrations, task.migration, json.dumps(task.to_kwargs()))

    def forget(self, migration: str) -> None:
        self._call("hdel", self._migrations, migration)

    def is_registered(self, migration: str) -> bool:
        return bool(self._call("hexists", self._migrations, migration))

    def registered(self) -> list[MigrationTask]:
        """The task of each registered migration; what is none is left out, and said in the log."""
        tasks = []
        for noted in self._call("hvals", self._migrations):
            try:
                tasks.append(MigrationTask.from_kwargs(_object(noted)))
            except (TerminalError, ValueError) as error:
                log.warning("a migration on the noticeboard is not seen to: %s", error)
        return tasks

    def is_due(self, migration: str, every: float) -> bool:
        """Whether nobody has asked so for this migration in the last seconds."""
        if self._call("set", DUE + migration, "1", nx=True, px=int(every * 1000)):
            return True
        self._delete_if_no_ttl(DUE + migration)
        return False

    # The workers

    def send_heartbeat(self, worker: WorkerInfo) -> None:
        """Say that a worker is there; to be repeated every few seconds."""
        self._call("hset", WORKERS, worker.name, json.dumps({**asdict(worker), "seen": self.now()}))

    def deregister(self, name: str) -> None:
        self._call("hdel", WORKERS, name)

    def workers(self) -> list[WorkerInfo]:
        """The workers that are there, by name."""
        signed_in = [worker for noted in self._call("hvals", WORKERS) if (worker := _worker_info(noted))]
        oldest = self.now() - WORKER_EXPIRES
        for gone in (worker for worker in signed_in if worker.seen < oldest):
            self.deregister(gone.name)
        return sorted((w for w in signed_in if w.seen >= oldest), key=lambda worker: worker.name)

    @contextmanager
    def lock(self, migration: str) -> Iterator[bool]:
        """Whether this process alone sees to the migration now."""
        lock = self._redis.lock(
            LOCK + migration, timeout=LOCK_SECONDS, blocking_timeout=LOCK_WAIT, thread_local=False
        )
        if not self._guarded(lock.acquire):
            self._delete_if_no_ttl(LOCK + migration)
            yield False
            return
        over = threading.Event()

        def renew() -> None:
            while not over.wait(LOCK_RENEWED_EVERY):
                with suppress(redis.RedisError, OSError):
                    lock.reacquire()

        threading.Thread(target=renew, daemon=True).start()
        try:
            yield True
        finally:
            over.set()
            # One that cannot be given back ends by itself.
            with suppress(redis.RedisError, OSError):
                lock.release()

    # What was queued and seen in a run

    def queued_chunks(self, run: str) -> int:
        """How many of the run's chunks, from the first on, have been queued."""
        return self._noted(QUEUED + run, _count) or 0

    def note_queued(self, run: str, chunks: int) -> None:
        self._call("set", QUEUED + run, chunks, ex=KEY_EXPIRES)

    def length(self, queues: tuple[str, ...]) -> int:
        """Tasks that wait for a worker."""
        return sum(int(self._call("llen", queue)) for queue in queues)

    def now(self) -> float:
        """Redis' own clock, in seconds: the hosts of a fleet need not agree on the time."""
        seconds, microseconds = self._call("time")
        return float(seconds) + float(microseconds) / 1e6

    def last_changes(self, run: str) -> dict[int, LastChange]:
        """Chunks by their index, as they were last seen."""
        return self._noted(LAST_CHANGES + run, _last_changes) or {}

    def save_last_changes(self, run: str, last_changes: dict[int, LastChange]) -> None:
        noted = {str(index): asdict(sighting) for index, sighting in last_changes.items()}
        self._call("set", LAST_CHANGES + run, json.dumps(noted), ex=KEY_EXPIRES)

    # What the ledger cannot be told

    def report_ledger_failure(self, run: str, error: str) -> None:
        """Say why nothing can be recorded in the ledger."""
        self._call("set", LEDGER_FAILURE + run, error, ex=LEDGER_FAILURE_SECONDS)

    def ledger_failure(self, run: str) -> str | None:
        """Why nothing can be recorded in the ledger, if that was so within the last minute."""
        return self._noted(LEDGER_FAILURE + run, bytes.decode)

    # The calls

    def _noted(self, key: str, parse: Callable[[bytes], Note]) -> Note | None:
        """What is noted under a key; None where there is nothing, or nothing of ours, at which `parse` raises
        ValueError."""
        noted = self._call("get", key)
        if noted is None:
            return None
        try:
            return parse(noted)
        except ValueError as error:
            self._clear(key, str(error))
            return None

    def _clear(self, key: str, found: str) -> None:
        """Delete what somebody else wrote under a key of ours, and say so."""
        log.warning("the broker held something under %s that is not qmig's: %s; it is gone now", key, found)
        self._guarded(self._redis.delete, key)

    def _delete_if_no_ttl(self, key: str) -> None:
        """What is written here ends by itself; what does not would stand in the way for ever."""
        if self._call("pttl", key) == ENDLESS:
            self._clear(key, "it never ends")

    def _call(self, command: str, *arguments: Any, **settings: Any) -> Any:
        """A command, whose first argument is the key if it has one."""
        call = getattr(self._redis, command)

        def call_once_more_if_cleared(*arguments: Any, **settings: Any) -> Any:
            try:
                return call(*arguments, **settings)
            except redis.ResponseError as error:
                if not str(error).startswith(WRONG_TYPE):
                    raise
                self._clear(arguments[0], "another kind of value")
                return call(*arguments, **settings)

        return self._guarded(call_once_more_if_cleared, *arguments, **settings)

    def _guarded(self, call: Any, *arguments: Any, **settings: Any) -> Any:
        try:
            return call(*arguments, **settings)
        except (redis.RedisError, OSError) as error:
            raise TransientError(f"the broker {redacted(self._url)} does not answer: {error}") from None


def _worker_info(noted: bytes) -> WorkerInfo | None:
    """What a worker noted, which may be of another version; None where it is nothing of the kind."""
    try:
        note = _object(noted)
        known = {one.name for one in fields(WorkerInfo)}
        return read(WorkerInfo, {name: note[name] for name in known & set(note)})
    except ValueError:
        return None


def _last_changes(noted: bytes) -> dict[int, LastChange]:
    return {int(index): read(LastChange, sighting) for index, sighting in _object(noted).items()}


def _count(noted: bytes) -> int:
    count = int(noted)
    if count < 0:
        raise ValueError(f"the number {count}")
    return count


def _object(noted: bytes) -> dict[str, Any]:
    """A JSON object; ValueError where it is anything else."""
    try:
        found = json.loads(noted)
    except RecursionError:
        raise ValueError("lists without end") from None
    if not isinstance(found, dict):
        raise ValueError(f"{type(found).__name__} in place of an object")  # noqa: TRY004
    return found
