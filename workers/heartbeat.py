"""Every worker's main process sees to it that the migrations on the noticeboard are looked after."""

import logging
from contextlib import suppress
from typing import Any

from celery import bootsteps
from celery.worker.consumer import Consumer

from qmig.broker.fleet import SUPERVISE_EVERY, Fleet
from qmig.errors import TransientError

log = logging.getLogger(__name__)


class Supervision(bootsteps.StartStopStep):  # type: ignore[misc]
    """A timer of the consumer: it signs the worker in, and whichever is first asks for the next look after a
    migration."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, parent: Consumer, **settings: Any) -> None:
        super().__init__(parent, **settings)
        self._name = parent.hostname
        self._pool = parent.pool
        self._fleet: Fleet | None = None
        self._timer: Any = None

    def start(self, parent: Consumer) -> None:
        self._fleet = Fleet(str(parent.app.conf.broker_url))
        self._timer = parent.timer.call_repeatedly(SUPERVISE_EVERY, self._ask)
        self._ask()

    def stop(self, parent: Consumer) -> None:  # noqa: ARG002
        if self._timer is not None:
            self._timer.cancel()
        if self._fleet is not None:
            with suppress(TransientError):
                self._fleet.registry.deregister(self._name)
            self._fleet.close()
        self._timer = self._fleet = None

    def _ask(self) -> None:
        assert self._fleet is not None
        try:
            worker = self._fleet.describe_worker(self._name, self._pool.num_processes)
            self._fleet.registry.send_heartbeat(worker)
            for task in self._fleet.registry.registered():
                if self._fleet.registry.is_due(task.migration, SUPERVISE_EVERY):
                    self._fleet.enqueue_supervision(task)
        except TransientError as error:
            log.info("%s; trying again", error)
