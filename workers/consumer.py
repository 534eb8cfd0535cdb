"""A consumer that nothing on the broker ends: it refuses what is no task of qmig's, and waits for its Redis."""

import logging
import random
import time
from collections.abc import Callable
from typing import Any

from celery.worker.consumer import Consumer
from celery.worker.state import maybe_shutdown
from kombu.exceptions import KombuError

from qmig.broker.app import broker_in_use
from qmig.broker.fleet import Fleet
from qmig.broker.outage import OutageLog
from qmig.errors import QmigError
from qmig.formatting import shorten
from workers.transport import install

#: Seconds between two attempts to use the broker: at first, and at most.
MIN_RETRY, MAX_RETRY = 1.0, 5.0
#: Seconds that a connection has to hold, or the next one waits longer.
HOLDS_FOR = 30.0

log = logging.getLogger(__name__)


# Celery imports this module before it connects.
install()


class RefusingConsumer(Consumer):  # type: ignore[misc]
    """Celery's consumer, but a message that is no task is refused. Celery would log all of it, with a traceback.

    A Redis that does not answer or refuses is waited for, with one line in the log for the whole time.
    """

    _retry = MIN_RETRY
    _connected = float("-inf")
    _outage = OutageLog(log)

    def connect(self) -> Any:
        """Wait until the broker can be used, and connect."""
        with Fleet(broker_in_use()) as fleet:
            if time.monotonic() - self._connected < HOLDS_FOR:
                self._sleep()
            else:
                self._retry = MIN_RETRY
            while not self._can_be_used(fleet):
                self._sleep()
        self._connected = time.monotonic()
        return super().connect()

    def ensure_connected(self, conn: Any) -> Any:
        """Connect once: after an error Celery begins at `connect` again, which waits."""
        conn.connect()
        self.first_connection_attempt = False
        return conn

    def on_connection_error_before_connected(self, exc: Exception) -> None:
        """Leave an attempt that failed to the line that `connect` logs."""

    def _can_be_used(self, fleet: Fleet) -> bool:
        try:
            fleet.ask()
        except QmigError as error:
            self._outage.began(f"{error}; waiting")
            return False
        self._outage.ended(f"the broker {fleet.shown_url} can be used again")
        return True

    def _sleep(self) -> None:
        """Wait before the next attempt, each time longer, and end if the worker is told to."""
        end = time.monotonic() + self._retry * random.uniform(0.8, 1.2)
        self._retry = min(MAX_RETRY, 2 * self._retry)
        while time.monotonic() < end:
            maybe_shutdown()
            time.sleep(0.2)

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
