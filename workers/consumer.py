"""What a worker does with a message that is no task of qmig's: one line in the log, and on to the next."""

import logging
from collections.abc import Callable
from typing import Any

from celery.worker.consumer import Consumer

from qmig.access import shortened

log = logging.getLogger(__name__)


class RefusingConsumer(Consumer):  # type: ignore[misc]
    """Celery's consumer, which prints whole messages and tracebacks for these."""

    def create_task_handler(self, *arguments: Any, **settings: Any) -> Callable[[Any], Any]:
        handle = super().create_task_handler(*arguments, **settings)

        def handle_or_refuse(message: Any) -> Any:
            try:
                return handle(message)
            except (TypeError, ValueError, LookupError, AttributeError, RecursionError) as error:
                # Celery takes the parts of a message apart as if it had made it.
                return self._refuse(message, f"malformed: {error!r}")

        return handle_or_refuse

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        self._refuse(message, f"its body cannot be read: {exc}")

    def on_unknown_message(self, body: Any, message: Any) -> None:  # noqa: ARG002
        self._refuse(message, "it names no task")

    def on_unknown_task(self, body: Any, message: Any, exc: Exception) -> None:  # noqa: ARG002
        self._refuse(message, f"there is no such task: {exc}")

    def on_invalid_task(self, body: Any, message: Any, exc: Exception) -> None:  # noqa: ARG002
        self._refuse(message, str(exc))

    def _refuse(self, message: Any, reason: str) -> None:
        log.error("a message was refused: %s", shortened(" ".join(reason.split())))
        message.reject_log_error(log, self.connection_errors)
