"""A fleet in memory: tasks may be lost or be delivered twice, and its locks hold nobody back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from qmig.broker.fleet import Fleet
from qmig.broker.registry import FleetRegistry
from qmig.broker.task import ChunkTask
from tests.model.network import Network

URL = "redis://model.invalid:6379/0"


class MemoryRedis:
    """The commands of Redis that the registry uses."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._values: dict[str, Any] = {}

    def time(self) -> tuple[int, int]:
        return int(self._network.now), 0

    def get(self, key: str) -> Any:
        return self._values.get(key)

    def set(self, key: str, value: Any, nx: bool = False, **_: Any) -> bool:
        if nx and key in self._values:
            return False
        self._values[key] = value if isinstance(value, bytes) else str(value).encode()
        return True

    def delete(self, key: str) -> None:
        self._values.pop(key, None)

    def pttl(self, _key: str) -> int:
        return 1

    def hset(self, key: str, name: str, value: Any) -> None:
        self._values.setdefault(key, {})[name] = value

    def hdel(self, key: str, name: str) -> None:
        self._values.get(key, {}).pop(name, None)

    def hexists(self, key: str, name: str) -> bool:
        return name in self._values.get(key, {})

    def hvals(self, key: str) -> list[Any]:
        return list(self._values.get(key, {}).values())

    def close(self) -> None:
        pass


class MemoryRegistry(FleetRegistry):
    @contextmanager
    def lock(self, migration: str) -> Iterator[bool]:  # noqa: ARG002
        """A lock that has always expired: its holder may have been stopped."""
        yield True


class MemoryFleet(Fleet):
    """The fleet of one world. `chunk_tasks` are the tasks that were queued last, by the chunk's index."""

    def __init__(self, network: Network) -> None:
        super().__init__(URL)
        self.registry = MemoryRegistry(URL, self.queue_name)
        self.registry._redis = MemoryRedis(network)  # type: ignore[assignment]
        self.chunk_tasks: dict[int, ChunkTask] = {}

    def _send(self, tasks: Any) -> None:
        for _, task, *_ in tasks:
            if isinstance(task, ChunkTask):
                self.chunk_tasks[task.chunk] = task

    def queued(self) -> int:
        return 0

    def close(self) -> None:
        """It is there for the next command."""
