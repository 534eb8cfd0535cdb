"""The registered migrations that a process has seen: it registers them again where the broker has lost them."""

import logging
from contextlib import suppress

from qmig.broker.fleet import Fleet
from qmig.broker.task import MigrationTask
from qmig.errors import TransientError

log = logging.getLogger(__name__)


class RememberedMigrations:
    """Remembers the fleet's registered migrations for as long as this process runs.

    Redis may lose everything, or be replaced by another one. A migration that is neither registered nor forgotten was
    lost. Its access grant is remembered as sealed as it was.
    """

    def __init__(self) -> None:
        self._tasks: dict[str, MigrationTask] = {}

    def refresh(self, fleet: Fleet) -> list[MigrationTask]:
        """Register lost migrations again. Return all that are registered; TransientError without the broker."""
        registered = {task.migration: task for task in fleet.registry.registered()}
        for migration in self._tasks.keys() - registered.keys():
            if fleet.registry.is_forgotten(migration):
                continue
            task = self._tasks[migration]
            if fleet.registry.register_again(task):
                log.warning("the broker had lost migration %s; it was registered again", migration)
            registered[migration] = task
        self._tasks = registered
        return list(registered.values())

    def watch(self, fleet: Fleet | None) -> None:
        """What `refresh` does, for a command that shows a migration, with or without a broker that answers."""
        if fleet is not None:
            with suppress(TransientError):
                self.refresh(fleet)
