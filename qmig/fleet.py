"""The fleet as the coordinator sees it: a queue of tasks on Redis, and who is there to run them."""

import os
from collections.abc import Iterable
from typing import Any

import redis
from celery import Celery

from qmig.errors import TransientError, UsageError
from qmig.ledger import ChunkRecord, MigrationRecord
from qmig.migration import redacted
from qmig.task import MIGRATE_CHUNK, ChunkTask, shown_as

BROKER_VARIABLE = "QMIG_BROKER_URL"
QUEUE = "qmig"
# Set once a run's chunks are all queued: a broker that has lost it has lost tasks.
MARKER = "qmig:queued:"
# A chunk whose worker died goes before those that nobody has begun. Kombu keeps a list a priority on Redis.
URGENT, NORMAL = 0, 9
QUEUE_KEYS = (QUEUE, f"{QUEUE}\x06\x16{NORMAL}")


class Fleet:
    """The workers on one broker."""

    def __init__(self, broker_url: str) -> None:
        self.broker_url = broker_url
        os.environ[BROKER_VARIABLE] = broker_url
        from workers.application import app

        self._app: Celery = app
        self._app.conf.broker_url = broker_url
        try:
            self._redis = redis.Redis.from_url(broker_url, socket_timeout=5, socket_connect_timeout=5)
        except ValueError as error:
            raise self._unusable(error) from None

    @property
    def shown_url(self) -> str:
        return redacted(self.broker_url)

    def __enter__(self) -> "Fleet":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the broker; workers that others started go on."""
        self._redis.close()

    def tend(self) -> None:
        """See to the fleet's own processes; a fleet that was started by others has none here."""

    def check(self) -> None:
        """UsageError where the broker cannot be used."""
        try:
            self._redis.ping()
        except (redis.RedisError, OSError, ValueError) as error:
            raise self._unusable(error) from None

    def _unusable(self, error: Exception) -> UsageError:
        return UsageError(
            f"the broker {self.shown_url} cannot be used: {str(error).rstrip('.')}; "
            f"start Redis there, or check --broker-url or ${BROKER_VARIABLE}"
        )

    def queue(
        self, record: MigrationRecord, tasks: Iterable[tuple[ChunkTask, ChunkRecord]], urgent: bool = False
    ) -> None:
        """Queue chunks; TransientError where the broker is away."""
        try:
            with self._app.producer_pool.acquire(block=True) as producer:
                for task, chunk in tasks:
                    self._app.send_task(
                        MIGRATE_CHUNK,
                        kwargs=task.to_kwargs(),
                        producer=producer,
                        queue=QUEUE,
                        priority=URGENT if urgent else NORMAL,
                        retry=False,
                        **shown_as(record, chunk),
                    )
        except (redis.RedisError, self._app.connection().connection_errors) as error:
            raise self._away(error) from None

    def mark_queued(self, run: str) -> None:
        self._on_redis("set", MARKER + run, "1", 7 * 86400)

    def is_queue_kept(self, run: str) -> bool:
        """Whether the broker still knows that the run's chunks were queued."""
        return bool(self._on_redis("exists", MARKER + run))

    def queued(self) -> int:
        """Tasks that wait for a worker."""
        return sum(int(self._on_redis("llen", key)) for key in QUEUE_KEYS)

    def workers(self) -> list[str]:
        """Names of the workers that answer within a second."""
        try:
            answers = self._app.control.ping(timeout=1.0)
        except (redis.RedisError, self._app.connection().connection_errors) as error:
            raise self._away(error) from None
        return sorted(name for answer in answers for name in answer)

    def _on_redis(self, command: str, *arguments: Any) -> Any:
        try:
            return getattr(self._redis, command)(*arguments)
        except (redis.RedisError, OSError) as error:
            raise self._away(error) from None

    def _away(self, error: Exception) -> TransientError:
        return TransientError(f"the broker {self.shown_url} does not answer: {error}")
