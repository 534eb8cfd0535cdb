"""The fleet as everybody sees it: a queue of tasks on Redis, and who is there to run them."""

import logging
import os
from collections.abc import Callable, Iterable
from typing import Any

import redis
from celery import Celery
from kombu import pools
from kombu.exceptions import OperationalError

from qmig import __version__
from qmig.broker.queues import queue_name
from qmig.broker.registry import FleetRegistry, WorkerInfo
from qmig.broker.sealing import SECRET_VARIABLE
from qmig.broker.task import (
    MIGRATE_CHUNK,
    QUEUE,
    SUPERVISE_MIGRATION,
    TASK_VERSION,
    ChunkTask,
    MigrationTask,
    task_repr,
)
from qmig.broker.url import BROKER_VARIABLE, normalized
from qmig.errors import TransientError, UsageError
from qmig.ledger.records import ChunkRecord, MigrationRecord
from qmig.migration import redacted

# A chunk whose worker died goes before those that nobody has begun. Kombu keeps a list a priority on Redis.
URGENT, NORMAL = 0, 9
# Seconds between two looks after a migration, and until one that no worker was free for is left to the next.
SUPERVISE_EVERY, SUPERVISE_EXPIRES = 5.0, 30.0

log = logging.getLogger(__name__)


class Fleet:
    """The workers on one broker."""

    def __init__(self, broker_url: str, supervise: Callable[[], None] | None = None) -> None:
        """`supervise` restarts processes of the fleet that died. UsageError where the URL names no Redis."""
        self.broker_url = broker_url
        self._supervise = supervise
        try:
            self.broker_url = normalized(broker_url)
            self.queue_name = queue_name()
            self.registry = FleetRegistry(self.broker_url, self.queue_name)
        except ValueError as error:
            raise self._unusable(error) from None
        os.environ[BROKER_VARIABLE] = self.broker_url
        from qmig.broker.app import app, use_broker

        self._app: Celery = app
        use_broker(self.broker_url)
        # Not the app's own pool, which stays with the broker of the process' first fleet.
        self._producers = pools.producers[app.connection_for_write(self.broker_url)]

    @property
    def shown_url(self) -> str:
        return redacted(self.broker_url)

    def __enter__(self) -> "Fleet":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the broker; workers that others started go on."""
        self.registry.close()

    def check(self) -> None:
        """UsageError where the broker cannot be used."""
        try:
            self.registry.ping()
        except (redis.RedisError, OSError, ValueError) as error:
            raise self._unusable(error) from None

    def _unusable(self, error: Exception) -> UsageError:
        return UsageError(
            f"the broker {self.shown_url} cannot be used: {str(error).rstrip('.')}; "
            f"start Redis there, or check --broker-url or ${BROKER_VARIABLE}"
        )

    def register(self, task: MigrationTask) -> None:
        """Let the fleet see to a migration from now on until it ends; TransientError where the broker is away."""
        self.registry.register(task)
        self.enqueue_supervision(task)

    def ensure_registered(self, task: MigrationTask) -> None:
        """While a command follows a migration: a fleet of this machine's own is kept alive, and a broker that was
        lost is told again."""
        if self._supervise is not None:
            self._supervise()
        try:
            if not self.registry.is_registered(task.migration):
                self.register(task)
        except TransientError as error:
            log.info("%s; trying again", error)

    def enqueue_supervision(self, task: MigrationTask) -> None:
        """Queue a look after the migration."""
        self._send(
            [
                (
                    SUPERVISE_MIGRATION,
                    task,
                    URGENT,
                    {"argsrepr": task.migration, "kwargsrepr": "", "expires": SUPERVISE_EXPIRES},
                )
            ]
        )

    def queue(
        self, record: MigrationRecord, tasks: Iterable[tuple[ChunkTask, ChunkRecord]], urgent: bool = False
    ) -> None:
        """Queue chunks; TransientError where the broker is away."""
        priority = URGENT if urgent else NORMAL
        self._send((MIGRATE_CHUNK, task, priority, task_repr(record, chunk)) for task, chunk in tasks)

    def _send(self, tasks: Iterable[tuple[str, MigrationTask, int, dict[str, Any]]]) -> None:
        try:
            with self._producers.acquire(block=True) as producer:
                for name, task, priority, settings in tasks:
                    self._app.send_task(
                        name,
                        kwargs=task.to_kwargs(),
                        producer=producer,
                        queue=self.queue_name,
                        priority=priority,
                        retry=False,
                        **settings,
                    )
        except (redis.RedisError, OperationalError) as error:
            raise self._away(error) from None

    def queued(self) -> int:
        """Tasks that wait for a worker."""
        return self.registry.length((self.queue_name, f"{self.queue_name}\x06\x16{NORMAL}"))

    def send_heartbeat(self, name: str, processes: int) -> None:
        """Say that a worker is there; to be repeated every few seconds."""
        self.registry.send_heartbeat(WorkerInfo(name, __version__, TASK_VERSION, processes, self.queue_name))

    def check_workers(self) -> list[str]:
        """What is odd about workers, a line each: another version of qmig, another secret.

        UsageError for one that would take these tasks and cannot.
        """
        warnings = []
        for worker in self.registry.workers():
            if worker.queue != self.queue_name:
                warnings.append(f"{self.describe_secret_mismatch(worker)}; it takes no part")
            elif worker.tasks != TASK_VERSION:
                raise UsageError(
                    f"worker {worker.name} runs qmig {worker.version}, which cannot take the tasks of qmig "
                    f"{__version__}; install the same version there, or stop it"
                )
            elif worker.version != __version__:
                warnings.append(f"worker {worker.name} runs qmig {worker.version}, this is {__version__}")
        return warnings

    def describe_secret_mismatch(self, worker: WorkerInfo) -> str:
        """What is wrong with a worker that takes its tasks from another queue."""
        if worker.queue == QUEUE:
            return f"worker {worker.name} has no ${SECRET_VARIABLE}, and this is a fleet with one"
        if self.queue_name == QUEUE:
            return f"worker {worker.name} has a ${SECRET_VARIABLE}, and here is none"
        return f"worker {worker.name} has another ${SECRET_VARIABLE} than this"

    def _away(self, error: Exception) -> TransientError:
        return TransientError(f"the broker {self.shown_url} does not answer: {error}")
