"""The fleet as everybody sees it: a queue of tasks on Redis, and who is there to run them."""

import os
from collections.abc import Iterable
from typing import Any

import redis
from celery import Celery
from kombu import pools
from kombu.exceptions import OperationalError

from qmig import __version__
from qmig.errors import TransientError, UsageError
from qmig.ledger import ChunkRecord, MigrationRecord
from qmig.migration import redacted
from qmig.noticeboard import Noticeboard
from qmig.task import MIGRATE_CHUNK, TEND_MIGRATION, VERSION, ChunkTask, MigrationTask, shown_as

BROKER_VARIABLE = "QMIG_BROKER_URL"
QUEUE = "qmig"
# A chunk whose worker died goes before those that nobody has begun. Kombu keeps a list a priority on Redis.
URGENT, NORMAL = 0, 9
QUEUES = (QUEUE, f"{QUEUE}\x06\x16{NORMAL}")
# Seconds between two looks after a migration, and until one that no worker was free for is left to the next.
TEND_EVERY, TEND_EXPIRES = 5.0, 30.0


class Fleet:
    """The workers on one broker."""

    def __init__(self, broker_url: str) -> None:
        """UsageError where the URL names no Redis."""
        self.broker_url = broker_url
        os.environ[BROKER_VARIABLE] = broker_url
        from workers.application import app

        self._app: Celery = app
        self._app.conf.broker_url = broker_url
        try:
            self.board = Noticeboard(broker_url)
        except ValueError as error:
            raise self._unusable(error) from None
        # Not the app's own pool, which stays with the broker of the process' first fleet.
        self._producers = pools.producers[app.connection_for_write(broker_url)]

    @property
    def shown_url(self) -> str:
        return redacted(self.broker_url)

    def __enter__(self) -> "Fleet":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the broker; workers that others started go on."""
        self.board.close()

    def supervise(self) -> None:
        """See to the fleet's own processes; a fleet that was started by others has none here."""

    def check(self) -> None:
        """UsageError where the broker cannot be used."""
        try:
            self.board.ping()
        except (redis.RedisError, OSError, ValueError) as error:
            raise self._unusable(error) from None

    def _unusable(self, error: Exception) -> UsageError:
        return UsageError(
            f"the broker {self.shown_url} cannot be used: {str(error).rstrip('.')}; "
            f"start Redis there, or check --broker-url or ${BROKER_VARIABLE}"
        )

    def see_to(self, task: MigrationTask) -> None:
        """Let the fleet see to a migration from now on until it ends; TransientError where the broker is away."""
        self.board.register(task)
        self.tend(task)

    def tend(self, task: MigrationTask) -> None:
        """Queue a look after the migration."""
        self._send(
            [(TEND_MIGRATION, task, URGENT, {"argsrepr": task.migration, "kwargsrepr": "", "expires": TEND_EXPIRES})]
        )

    def queue(
        self, record: MigrationRecord, tasks: Iterable[tuple[ChunkTask, ChunkRecord]], urgent: bool = False
    ) -> None:
        """Queue chunks; TransientError where the broker is away."""
        priority = URGENT if urgent else NORMAL
        self._send((MIGRATE_CHUNK, task, priority, shown_as(record, chunk)) for task, chunk in tasks)

    def _send(self, tasks: Iterable[tuple[str, MigrationTask, int, dict[str, Any]]]) -> None:
        try:
            with self._producers.acquire(block=True) as producer:
                for name, task, priority, settings in tasks:
                    self._app.send_task(
                        name,
                        kwargs=task.to_kwargs(),
                        producer=producer,
                        queue=QUEUE,
                        priority=priority,
                        retry=False,
                        **settings,
                    )
        except (redis.RedisError, OperationalError) as error:
            raise self._away(error) from None

    def queued(self) -> int:
        """Tasks that wait for a worker."""
        return self.board.length(QUEUES)

    def check_workers(self) -> list[str]:
        """Workers of another version of qmig, a line each; UsageError for one that takes other tasks than these."""
        others = [worker for worker in self.board.workers() if worker.version != __version__]
        for worker in others:
            if worker.tasks != VERSION:
                raise UsageError(
                    f"worker {worker.name} runs qmig {worker.version}, which cannot take the tasks of qmig "
                    f"{__version__}; install the same version there, or stop it"
                )
        return [f"worker {worker.name} runs qmig {worker.version}, this is {__version__}" for worker in others]

    def _away(self, error: Exception) -> TransientError:
        return TransientError(f"the broker {self.shown_url} does not answer: {error}")
