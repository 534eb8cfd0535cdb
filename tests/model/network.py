"""A network without sockets: actors whose calls are delivered when a test says so, and a clock that a test moves.

An actor is a greenlet: it goes on until it waits for an answer or for the clock, and then returns to the test. A
message may be delivered after the death of its sender.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import grpc
from greenlet import getcurrent, greenlet

from tests.model.messages import REDIS, CallError, Context, Message, is_batch
from tests.model.redis import MemoryRedis
from tests.model.stand_ins import Channel, Executor

# Seconds after which a write to the target's points is lost if it was not delivered. The protocol rests on this: no
# ledger can hold back a request that is under way in the network for longer than a lease.
UPSERT_LIFETIME = 9.0


class Killed(BaseException):
    """Ends an actor that was killed."""


@dataclass(eq=False)
class Actor:
    """A process of the model. `waits_for` are messages, one of which it needs; `until` is when it goes on without."""

    name: str
    body: Callable[[], Any]
    waits_for: Sequence[Message] = ()
    until: float | None = 0.0
    is_alive: bool = True
    is_killed: bool = False
    outcome: Any = None

    def __post_init__(self) -> None:
        self.thread = greenlet(self._run)

    def _run(self) -> None:
        try:
            self.outcome = "killed" if self.is_killed else self.body()
        except Killed:
            self.outcome = "killed"
        except BaseException as error:  # noqa: BLE001
            self.outcome = error
        self.is_alive = False


class Network:
    """The messages, the actors and the clock. `services` are the handlers of the endpoint."""

    def __init__(self, services: Sequence[grpc.GenericRpcHandler]) -> None:
        self._services = services
        self.now = 1000.0
        self.messages: list[Message] = []
        self.actors: list[Actor] = []
        self.redis = MemoryRedis(lambda: self.now)
        # Called with the path and the request of every call, before the endpoint answers it.
        self.observers: list[Callable[[str, Any], None]] = []

    # For the test

    def start(self, name: str, body: Callable[[], Any]) -> Actor:
        """Start an actor. It waits before its first step."""
        actor = Actor(name, body)
        self.actors.append(actor)
        return actor

    def step(self, actor: Actor) -> None:
        """Deliver what the actor waits for, and let it run to its next wait.

        Where it waits for the clock, that is moved, and everything that the actor has sent arrives meanwhile.
        """
        if actor.waits_for:
            actor.waits_for[0].deliver()
        else:
            self._deliver_of(actor, lambda _: True)
            self._pass_time_of(actor)
        self._resume(actor)

    def stall(self, actor: Actor) -> None:
        """Let the actor run without an answer about its batches: only what it sends to the ledger arrives."""
        self._deliver_of(actor, lambda message: not is_batch(message.path, message.request))
        self._pass_time_of(actor)
        self._resume(actor)

    def _deliver_of(self, actor: Actor, arrives: Callable[[Message], bool]) -> None:
        for message in [message for message in self.messages if message.sender is actor and arrives(message)]:
            message.deliver()

    def _pass_time_of(self, actor: Actor) -> None:
        """Move the clock to when the actor goes on, unless it has its answer."""
        if actor.until is not None and not any(message.is_done for message in actor.waits_for):
            self.pass_time(actor.until - self.now)

    def kill(self, actor: Actor) -> None:
        """End an actor. What it has sent is still under way."""
        actor.is_killed = True
        self._resume(actor)

    def kill_all(self) -> None:
        for actor in list(self.actors):
            self.kill(actor)

    def pass_time(self, seconds: float) -> None:
        self.now += max(0.0, seconds)
        for message in list(self.messages):
            if is_batch(message.path, message.request) and self.now - message.sent > UPSERT_LIFETIME:
                message.fail(grpc.StatusCode.UNAVAILABLE, "the network lost it")

    def _resume(self, actor: Actor) -> None:
        actor.thread.switch()
        if not actor.is_alive:
            self.actors.remove(actor)

    # For the actors

    @property
    def actor(self) -> Actor | None:
        """The actor that is running; None while the test is."""
        current = getcurrent()
        return next((actor for actor in self.actors if actor.thread is current), None)

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
        actor.thread.parent.switch()
        if actor.is_killed:
            raise Killed

    def send(self, path: str, request: Any) -> Message:
        message = Message(self, path, request, self.actor, self.now)
        self.messages.append(message)
        return message

    def answer(self, path: str, request: Any) -> Any:
        """Have Redis or the endpoint answer a request, given as a command, as a message or as its bytes."""
        if path == REDIS:
            return self.redis.answer(*request)
        handler = self._handler(path)
        for observe in self.observers:
            observe(path, request)
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
