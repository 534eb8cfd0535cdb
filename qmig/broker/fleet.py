"""The fleet: a queue of tasks on one Redis, and the workers that take them."""

import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

import redis
from kombu import pools
from kombu.exceptions import OperationalError

from qmig import __version__
from qmig.broker.app import app, use_broker
from qmig.broker.connection import REFUSES_FOR_NOW, UNAVAILABLE, described
from qmig.broker.preflight import check_broker
from qmig.broker.queues import PLAIN_QUEUE, queue_name
from qmig.broker.registry import FleetRegistry, WorkerInfo
from qmig.broker.sealing import SECRET_VARIABLE
from qmig.broker.task import (
    MIGRATE_CHUNK,
    SUPERVISE_MIGRATION,
    TASK_VERSION,
    ChunkTask,
    MigrationTask,
    TaskArguments,
    task_repr,
)
from qmig.broker.url import CHECK_URL, unusable
from qmig.errors import TransientError, UsageError
from qmig.ledger.records import ChunkRecord, MigrationRecord

#: Priority of a requeued chunk, and of supervision: they go before the chunks that no worker has begun.
URGENT = 0
#: Priority of a chunk that is queued for the first time.
NORMAL = 9
#: What kombu puts between the name of a queue and a priority, to name that priority's list on Redis.
PRIORITY_SEPARATOR = "\x06\x16"
#: Seconds between two supervisions of a migration, and between two heartbeats of a worker.
SUPERVISE_EVERY = 5.0

#: What a user can do about a broker that does not answer.
START_REDIS = f"start Redis there, or {CHECK_URL}"

log = logging.getLogger(__name__)


class Fleet:
    """The workers on one broker that have the same secret and version as this process."""

    def __init__(self, broker_url: str, supervise: Callable[[], None] | None = None) -> None:
        """`supervise` restarts processes of the fleet that have ended. UsageError if the URL names no Redis."""
        self._supervise = supervise
        self.queue_name = queue_name()
        try:
            self.registry = FleetRegistry(broker_url, self.queue_name)
        except ValueError as error:
            raise UsageError(unusable(broker_url, error)) from None
        self._url = self.registry.broker.url
        use_broker(self._url)
        # The application's own pool would stay with the broker of the process' first fleet.
        self._producers = pools.producers[app.connection_for_write()]

    @property
    def shown_url(self) -> str:
        """The broker's URL without its password."""
        return self._url.shown

    @property
    def is_local(self) -> bool:
        """Whether this command started the workers itself."""
        return self._supervise is not None

    def __enter__(self) -> "Fleet":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections to the broker; workers that were started elsewhere keep running."""
        self.registry.close()

    def check(self, waits: bool = False) -> list[str]:
        """Check that the broker can be used, and return a line for each of its settings that is risky.

        UsageError where it cannot be used. A process that `waits` gets a line where that may pass by itself.
        """
        if missing := self._url.missing_file:
            raise UsageError(f"the broker {self.shown_url} cannot be used: {missing}: No such file; {START_REDIS}")
        try:
            return self.ask()
        except TransientError as error:
            if waits and error.reason == REFUSES_FOR_NOW:
                return [f"{error}; waiting"]
            raise UsageError(f"{error}; {START_REDIS}" if error.reason == UNAVAILABLE else str(error)) from None

    def ask(self) -> list[str]:
        """What `check` does; TransientError where the broker does not answer, or refuses what the fleet needs."""
        return check_broker(self.registry.broker, self.queue_name)

    def register(self, task: MigrationTask) -> None:
        """Let the fleet supervise a migration with this task until it ends; TransientError without the broker."""
        self.registry.register(task)
        self.enqueue_supervision(task)

    def ensure_registered(self, task: MigrationTask) -> None:
        """Register a migration again if the broker has lost it, and restart processes of the fleet that have ended.

        A command that follows a migration calls this repeatedly.
        """
        if self._supervise is not None:
            self._supervise()
        try:
            if self.registry.registration(task.migration) is None:
                self.register(task)
        except TransientError as error:
            log.info("%s; retrying", error)

    def enqueue_supervision(self, task: MigrationTask) -> None:
        """Queue a supervision of the migration, unless one waits for a worker already.

        Celery could let a task expire, but by the clock of the worker's host, which may be wrong.
        """
        if self.registry.claim_supervision(task.migration):
            settings = {"argsrepr": task.migration, "kwargsrepr": ""}
            try:
                self._send([(SUPERVISE_MIGRATION, task, URGENT, settings)])
            except TransientError:
                with suppress(TransientError):
                    self.registry.supervision_started(task.migration)
                raise

    def queue(
        self, record: MigrationRecord, tasks: Iterable[tuple[ChunkTask, ChunkRecord]], urgent: bool = False
    ) -> None:
        """Queue chunks; TransientError if the broker is unavailable."""
        priority = URGENT if urgent else NORMAL
        self._send((MIGRATE_CHUNK, task, priority, task_repr(record, chunk)) for task, chunk in tasks)

    def _send(self, tasks: Iterable[tuple[str, TaskArguments, int, dict[str, Any]]]) -> None:
        try:
            with self._producers.acquire(block=True) as producer:
                for name, task, priority, settings in tasks:
                    app.send_task(
                        name,
                        kwargs=task.to_kwargs(),
                        producer=producer,
                        queue=self.queue_name,
                        priority=priority,
                        retry=False,
                        **settings,
                    )
        except (redis.RedisError, OperationalError, OSError) as error:
            # Kombu wraps the error of redis-py.
            cause = error.__cause__ if isinstance(error.__cause__, Exception) else error
            raise TransientError(f"the broker {self.shown_url} {described(cause)}") from None

    def queued(self) -> int:
        """Number of tasks that wait for a worker."""
        # Priority 0 has the queue's own name.
        return self.registry.length((self.queue_name, f"{self.queue_name}{PRIORITY_SEPARATOR}{NORMAL}"))

    def describe_worker(self, name: str, processes: int) -> WorkerInfo:
        """The description of a worker of this process for the registry."""
        return WorkerInfo(name, __version__, TASK_VERSION, processes, self.queue_name)

    def check_workers(self) -> list[str]:
        """Warn of workers with another version of qmig or another secret, a line for each."""
        warnings = []
        for worker in self.registry.workers():
            if worker.queue != self.queue_name:
                warnings.append(f"{self.describe_mismatch(worker)}; it takes none of these tasks")
            elif worker.version != __version__:
                warnings.append(f"worker {worker.name} runs qmig {worker.version}, this is {__version__}")
        return warnings

    def describe_mismatch(self, worker: WorkerInfo) -> str:
        """Say why a worker takes its tasks from another queue: its version or its secret is another one."""
        if worker.task_version != TASK_VERSION:
            return (
                f"worker {worker.name} runs qmig {worker.version} with tasks of version {worker.task_version}, and "
                f"qmig {__version__} has version {TASK_VERSION}"
            )
        if worker.queue == PLAIN_QUEUE:
            return f"worker {worker.name} has no ${SECRET_VARIABLE}, and this process has one"
        if self.queue_name == PLAIN_QUEUE:
            return f"worker {worker.name} has a ${SECRET_VARIABLE}, and this process has none"
        return f"worker {worker.name} has another ${SECRET_VARIABLE} than this process"
