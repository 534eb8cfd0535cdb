"""Redis in memory, and a client whose commands are messages of the model's network."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tests.model.messages import REDIS

if TYPE_CHECKING:
    from tests.model.network import Network


class MemoryRedis:
    """The commands of Redis that qmig's registry uses. `clock` gives the seconds by which keys expire."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._values: dict[str, Any] = {}
        self._expires: dict[str, float] = {}

    def answer(self, command: str, arguments: tuple[Any, ...], settings: dict[str, Any]) -> Any:
        for key in [key for key, end in self._expires.items() if end <= self._clock()]:
            self.delete(key)
        return getattr(self, command)(*arguments, **settings)

    def lose_everything(self) -> None:
        self._values.clear()
        self._expires.clear()

    def time(self) -> tuple[int, int]:
        return int(self._clock()), 0

    def get(self, key: str) -> Any:
        return self._values.get(key)

    def set(self, key: str, value: Any, nx: bool = False, px: float | None = None, ex: float | None = None) -> bool:
        if nx and key in self._values:
            return False
        self.delete(key)
        self._values[key] = value if isinstance(value, bytes) else str(value).encode()
        seconds = ex if px is None else px / 1000
        if seconds is not None:
            self._expires[key] = self._clock() + seconds
        return True

    def exists(self, key: str) -> int:
        return int(key in self._values)

    def delete(self, key: str) -> None:
        self._values.pop(key, None)
        self._expires.pop(key, None)

    def pttl(self, key: str) -> int:
        return int(1000 * (self._expires[key] - self._clock())) if key in self._expires else -2

    def hset(self, key: str, name: str, value: Any) -> None:
        self._values.setdefault(key, {})[name] = value

    def hsetnx(self, key: str, name: str, value: Any) -> int:
        is_new = name not in self._values.get(key, {})
        if is_new:
            self.hset(key, name, value)
        return int(is_new)

    def hget(self, key: str, name: str) -> Any:
        return self._values.get(key, {}).get(name)

    def hdel(self, key: str, name: str) -> None:
        self._values.get(key, {}).pop(name, None)

    def hvals(self, key: str) -> list[Any]:
        return list(self._values.get(key, {}).values())

    def forget(self, keys: list[str], args: list[Any]) -> None:
        """What the registry's script does."""
        (registrations, forgotten), (migration, expected, seconds) = keys, args
        if self.hget(registrations, migration) in (None, expected):
            self.hdel(registrations, migration)
            self.set(forgotten, "1", ex=seconds)


class Client:
    """In place of redis-py's client."""

    def __init__(self, network: Network) -> None:
        self._network = network

    def register_script(self, script: str) -> Callable[..., Any]:  # noqa: ARG002
        """The registry's own script; no migration of the model has a limit, which needs the other one."""
        forget: Callable[..., Any] = self.forget
        return forget

    def __getattr__(self, command: str) -> Callable[..., Any]:
        def call(*arguments: Any, **settings: Any) -> Any:
            return self._network.send(REDIS, (command, arguments, settings)).result()

        return call

    def close(self) -> None:
        pass
