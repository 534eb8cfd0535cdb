"""In place of gRPC's channel and of a pool of threads."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from tests.model.messages import Message

if TYPE_CHECKING:
    from tests.model.network import Network


class Channel:
    """In place of gRPC's channel."""

    def __init__(self, network: Network) -> None:
        self._network = network

    def unary_unary(self, path: str, *_: Any, **__: Any) -> Method:
        return Method(self._network, path)

    def close(self) -> None:
        pass


class Method:
    """A method of a stub."""

    def __init__(self, network: Network, path: str) -> None:
        self._network = network
        self._path = path

    def start(self, request: Any) -> Message:
        return self._network.send(self._path, request)

    def __call__(self, request: Any, **_: Any) -> Any:
        return self.start(request).result()


class Executor:
    """In place of a pool of threads: a call is under way at once, anything else runs to its end."""

    def submit(self, call: Any, *arguments: Any, **settings: Any) -> Any:
        if isinstance(call, Method):
            return call.start(*arguments)
        future: Future[Any] = Future()
        try:
            future.set_result(call(*arguments, **settings))
        except Exception as error:  # noqa: BLE001
            future.set_exception(error)
        return future

    def map(self, call: Any, *arguments: Any) -> Iterator[Any]:
        return map(call, *arguments)

    def shutdown(self, **_: Any) -> None:
        pass

    def __enter__(self) -> Executor:
        return self

    def __exit__(self, *_: object) -> None:
        pass
