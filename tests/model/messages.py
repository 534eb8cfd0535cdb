"""Messages that are under way in the model's network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc

if TYPE_CHECKING:
    from tests.model.network import Actor, Network

UPSERT = "/qdrant.Points/Upsert"
UPDATE = "/qdrant.Collections/Update"
# A command to the broker; its request has the command's name, its arguments and its settings.
REDIS = "redis"
# The calls that change a record, a point or the target's settings.
WRITES = (UPSERT, UPDATE, "/qdrant.Points/SetPayload", "/qdrant.Points/Delete")


def is_batch(path: str, request: Any) -> bool:
    """Whether a call writes a batch of points to the target: workers send them as bytes."""
    return path == UPSERT and isinstance(request, bytes)


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
    sender: Actor | None
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


def is_writing(actor: Actor) -> bool:
    """Whether the actor waits for a batch to arrive in the target."""
    return any(is_batch(message.path, message.request) for message in actor.waits_for)


def is_write(message: Message) -> bool:
    """Whether a message that is under way changes a record or a point."""
    return not message.is_done and message.path in WRITES
