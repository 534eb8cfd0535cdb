"""A fleet without processes: tasks may be lost or be delivered late and twice, and its locks hold nobody back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from qmig.broker.fleet import SUPERVISE_EVERY, Fleet
from qmig.broker.registry import FleetRegistry
from qmig.broker.remembered import RememberedMigrations
from qmig.broker.task import ChunkTask, MigrationTask
from tests.model.network import Network
from tests.model.redis import Client

URL = "redis://model.invalid:6379/0"


class MemoryRegistry(FleetRegistry):
    """The registry on the Redis of one network."""

    def __init__(self, network: Network, queue: str) -> None:
        super().__init__(URL, queue)
        client: Any = Client(network)
        self.broker.client = client
        self._forget = client.register_script("")

    @contextmanager
    def lock(self, migration: str) -> Iterator[bool]:  # noqa: ARG002
        """A lock that has always expired: its holder may have been stopped."""
        yield True


class MemoryFleet(Fleet):
    """The fleet of one world. `chunk_tasks` has all the tasks that were ever queued for a chunk, by its index."""

    def __init__(self, network: Network) -> None:
        super().__init__(URL)
        self.registry = MemoryRegistry(network, self.queue_name)
        self.chunk_tasks: dict[int, list[ChunkTask]] = {}

    def _send(self, tasks: Any) -> None:
        for _, task, *_ in tasks:
            if isinstance(task, ChunkTask):
                self.chunk_tasks.setdefault(task.chunk, []).append(task)

    def ask(self) -> list[str]:
        return []

    def queued(self) -> int:
        return 0

    def close(self) -> None:
        """It is there for the next command."""


class Host:
    """The main process of one host's workers. Its timer registers again what the broker has lost."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._remembered = RememberedMigrations()

    def due(self) -> list[MigrationTask]:
        """What the timer does: return the migrations whose supervision is due."""
        registered = self._remembered.refresh(self._fleet)
        return [task for task in registered if self._fleet.registry.is_due(task.migration, SUPERVISE_EVERY)]
