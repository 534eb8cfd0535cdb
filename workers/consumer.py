"""Refuse messages that are no tasks of qmig's: one line in the log for each, and the worker continues."""

import logging
from collections.abc import Callable
from queue import Empty
from typing import Any

from celery.worker.consumer import Consumer
from kombu.exceptions import KombuError
from kombu.transport import redis

from qmig.formatting import shorten

log = logging.getLogger(__name__)


class RefusingChannel(redis.Channel):
    """Kombu's channel, but an entry of the queue that is no message is refused. Kombu would end the whole worker."""

    def _brpop_read(self, **options: Any) -> Any:
        try:
            return super()._brpop_read(**options)  # type: ignore[no-untyped-call]
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
            log.error("an entry of the queue was refused: it is no message: %s", shorten(str(error)))  # noqa: TRY400
            raise Empty from None


# A connection makes its first channel at once, so the class is replaced before there is a connection.
redis.Transport.Channel = RefusingChannel


class RefusingConsumer(Consumer):  # type: ignore[misc]
    """Celery's consumer, but a message that is no task is refused. Celery would log all of it, with a traceback."""

    def create_task_handler(self, *arguments: Any, **settings: Any) -> Callable[[Any], Any]:
        handle = super().create_task_handler(*arguments, **settings)

        def handle_or_refuse(message: Any) -> Any:
            try:
                payload = message.payload
            except KombuError as error:
                return self._refuse(message, f"its body cannot be read: {error}")
            if not _is_task(message.headers, payload):
                return self._refuse(message, f"it is no task: {message.headers}, {payload}")
            try:
                return handle(message)
            except (TypeError, ValueError, LookupError, AttributeError) as error:
                # Celery reads the rest of a message without checks.
                return self._refuse(message, f"it is no task: {error}")

        return handle_or_refuse

    def on_unknown_task(self, body: Any, message: Any, exc: Exception) -> None:  # noqa: ARG002
        self._refuse(message, f"there is no such task: {exc}")

    def on_invalid_task(self, body: Any, message: Any, exc: Exception) -> None:  # noqa: ARG002
        self._refuse(message, str(exc))

    def _refuse(self, message: Any, reason: str) -> None:
        log.error("a message was refused: %s", shorten(" ".join(reason.split()), 200))
        message.reject_log_error(log, self.connection_errors)


def _is_task(headers: Any, payload: Any) -> bool:
    """Whether a message has the form of qmig's tasks: arguments by name alone, and no setting that makes Celery fail
    when it is too late to refuse the message."""
    match headers, payload:
        case {"id": str(), "task": str(), **settings}, [[], dict(), dict()]:
            return (
                settings.get("retries") in (None, 0)
                and settings.get("eta") is None
                and settings.get("timelimit") in (None, [None, None])
            )
    return False
