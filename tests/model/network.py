"""A network without sockets: actors whose calls are delivered when a test says so, and a clock that a test moves.

An actor runs in a thread of its own, but only one thread runs at a time: an actor goes on until it waits for an
answer or for the clock, and then returns to the test. A message may be delivered after the death of its sender.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import grpc

UPSERT = "/qdrant.Points/Upsert"
# Seconds of real time in which an actor comes back to the test: more than it ever needs.
PATIENCE = 120.0
# Seconds after which a write to the target's points is lost if it was not delivered. The protocol rests on this: no
# ledger can hold back a request that is under way in the network for longer than a lease.
UPSERT_LIFETIME = 9.0


def is_batch(path: str, request: Any) -> bool:
    """Whether a call writes a batch of points to the target: workers send them as bytes."""
    return path == UPSERT and isinstance(request, bytes)


class Killed(BaseException):
    """Ends the thread of an actor that was killed."""


class CallError(grpc.RpcError):
    """A failed call, as gRPC's own."""

    def __init__(self, code: grpc.StatusCode, details: str) -> None:
        super().__init__(details)
        self.code = lambda: code
        self.details = lambda: details
        self.trailing_metadata = tuple


class Context:
    """The part of a servicer's context that the endpoint uses."""

    def abort(self, code: grpc.StatusCode, details: str) -> None:
        raise CallError(code, details)


@dataclass(eq=False)
class Message:
    """A request, and its answer once it was delivered. A caller may wait for it as for a future."""

    network: Network
    path: str
    request: Any
    sent: float
    is_done: bool = False
    answer: Any = None
    error: Exception | None = None

    def deliver(self) -> None:
        if not self.is_done:
            try:
                self.answer = self.network.answer(self.path, self.request)
            except CallError as error:
                self.error = error
            self.finish()

    def fail(self, status: grpc.StatusCode, details: str) -> None:
        """Answer with an error; the endpoint never gets the request."""
        self.error = CallError(status, details)
        self.finish()

    def finish(self) -> None:
        self.is_done = True
        if self in self.network.messages:
            self.network.messages.remove(self)

    def result(self) -> Any:
        while not self.is_done:
            self.network.pause((self,), None)
        if self.error is not None:
            raise self.error
        return self.answer

    def cancel(self) -> bool:
        return False

    def done(self) -> bool:
        return self.is_done


@dataclass(eq=False)
class Actor:
    """A process of the model. `waits_for` are messages, one of which it needs; `until` is when it goes on without."""

    name: str
    waits_for: Sequence[Message] = ()
    until: float | None = 0.0
    is_alive: bool = True
    is_killed: bool = False
    outcome: Any = None
    go: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    back: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))


class Network:
    """The messages, the actors and the clock. `services` are the handlers of the endpoint."""

    def __init__(self, services: Sequence[grpc.GenericRpcHandler]) -> None:
        self._services = services
        self._local = threading.local()
        self.now = 1000.0
        self.messages: list[Message] = []
        self.actors: list[Actor] = []
        # Called with the path and the request of every call, before the endpoint answers it.
        self.observe: Callable[[str, Any], None] = lambda *_: None

    # For the test

    def start(self, name: str, body: Callable[[], Any]) -> Actor:
        """Start an actor. It waits before its first step."""
        actor = Actor(name)

        def run() -> None:
            self._local.actor = actor
            actor.go.acquire()
            try:
                actor.outcome = "killed" if actor.is_killed else body()
            except Killed:
                actor.outcome = "killed"
            except BaseException as error:  # noqa: BLE001
                actor.outcome = error
            actor.is_alive = False
            actor.back.release()

        threading.Thread(target=run, name=name, daemon=True).start()
        self.actors.append(actor)
        return actor

    def step(self, actor: Actor) -> None:
        """Deliver what the actor waits for, or move the clock to when it goes on, and let it run to its next wait."""
        if actor.waits_for:
            actor.waits_for[0].deliver()
        elif actor.until is not None:
            self.pass_time(actor.until - self.now)
        self._resume(actor)

    def time_out(self, actor: Actor) -> None:
        """Move the clock to the end of the actor's patience, and let it run without its answer."""
        if actor.until is not None:
            self.pass_time(actor.until - self.now)
            self._resume(actor)

    def kill(self, actor: Actor) -> None:
        """End an actor. What it has sent is still under way."""
        actor.is_killed = True
        self._resume(actor)

    def pass_time(self, seconds: float) -> None:
        self.now += max(0.0, seconds)
        for message in list(self.messages):
            if is_batch(message.path, message.request) and self.now - message.sent > UPSERT_LIFETIME:
                message.fail(grpc.StatusCode.UNAVAILABLE, "the network lost it")

    def _resume(self, actor: Actor) -> None:
        actor.go.release()
        assert actor.back.acquire(timeout=PATIENCE), f"{actor.name} waits for something outside of the model"
        if not actor.is_alive:
            self.actors.remove(actor)

    # For the actors

    @property
    def actor(self) -> Actor | None:
        """The actor whose thread this is; None in the test's own thread."""
        return getattr(self._local, "actor", None)

    def pause(self, messages: Sequence[Message], until: float | None) -> None:
        """Return to the test until it lets this actor go on."""
        actor = self.actor
        if actor is None:
            for message in messages:
                message.deliver()
            return
        if actor.is_killed:
            raise Killed
        actor.waits_for, actor.until = messages, until
        actor.back.release()
        actor.go.acquire()
        if actor.is_killed:
            raise Killed

    def send(self, path: str, request: Any) -> Message:
        message = Message(self, path, request, self.now)
        self.messages.append(message)
        return message

    def answer(self, path: str, request: Any) -> Any:
        """Have the endpoint answer a request, given as a message or as its bytes."""
        handler = self._handler(path)
        self.observe(path, request)
        is_raw = isinstance(request, bytes)
        parsed = handler.request_deserializer(request if is_raw else request.SerializeToString())
        answered = handler.unary_unary(parsed, Context())
        return handler.response_serializer(answered) if is_raw else answered

    def _handler(self, path: str) -> Any:
        for service in self._services:
            if handler := service.service(SimpleNamespace(method=path, invocation_metadata=())):
                return handler
        raise CallError(grpc.StatusCode.UNIMPLEMENTED, path)

    # In place of gRPC, of the threads and of the clock

    def open_channel(self, *_: Any) -> Channel:
        return Channel(self)

    def executor(self, *_: Any) -> Executor:
        return Executor()

    def wait(self, futures: Sequence[Any], timeout: float | None = None) -> Any:
        """In place of `concurrent.futures.wait`."""
        unanswered = [future for future in futures if not future.done()]
        if unanswered and timeout != 0:
            self.pause(unanswered, None if timeout is None else self.now + timeout)
        return SimpleNamespace(done={future for future in futures if future.done()})

    def monotonic(self) -> float:
        return self.now if self.actor is not None else _monotonic()

    def sleep(self, seconds: float) -> None:
        if self.actor is None:
            _sleep(seconds)
        else:
            self.pause((), self.now + max(0.0, seconds))


_monotonic, _sleep = time.monotonic, time.sleep


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

    def shutdown(self, **_: Any) -> None:
        pass
