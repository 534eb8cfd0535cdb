"""The timer in a worker's main process: it sends the worker's heartbeat, and has migrations supervised.

It also remembers the fleet's migrations, and registers them again where the broker has lost them.
"""

import logging
from contextlib import suppress
from typing import Any

from celery import bootsteps
from celery.worker.consumer import Consumer

from qmig.broker.app import broker_in_use
from qmig.broker.fleet import SUPERVISE_EVERY, Fleet
from qmig.broker.outage import OutageLog
from qmig.broker.remembered import RememberedMigrations
from qmig.errors import TransientError

log = logging.getLogger(__name__)


class Heartbeat(bootsteps.StartStopStep):  # type: ignore[misc]
    """A step of Celery's consumer that starts and stops the timer.

    Each worker has the timer. The first worker whose timer fires queues the next supervision of a migration.
    """

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, parent: Consumer, **settings: Any) -> None:
        super().__init__(parent, **settings)
        self._name = parent.hostname
        self._pool = parent.pool
        self._fleet: Fleet | None = None
        self._timer: Any = None
        # Celery stops and starts this step at every lost connection; what it remembers outlives that.
        self._remembered = RememberedMigrations()
        self._outage = OutageLog(log)

    def start(self, parent: Consumer) -> None:
        """Connect to the broker, and send the first heartbeat."""
        self._fleet = Fleet(broker_in_use())
        self._timer = parent.timer.call_repeatedly(SUPERVISE_EVERY, self._send)
        self._send()

    def stop(self, parent: Consumer) -> None:  # noqa: ARG002
        """Deregister the worker."""
        if self._timer is not None:
            self._timer.cancel()
        if self._fleet is not None:
            with suppress(TransientError):
                self._fleet.registry.deregister(self._name)
            self._fleet.close()
        self._timer = self._fleet = None

    def _send(self) -> None:
        """Send a heartbeat, and queue the supervision of the migrations that are due."""
        assert self._fleet is not None
        try:
            worker = self._fleet.describe_worker(self._name, self._pool.num_processes)
            self._fleet.registry.send_heartbeat(worker)
            for task in self._remembered.refresh(self._fleet):
                if self._fleet.registry.is_due(task.migration, SUPERVISE_EVERY):
                    self._fleet.enqueue_supervision(task)
        except TransientError as error:
            self._outage.began(f"{error}; waiting")
        else:
            self._outage.ended("the broker answers again")
