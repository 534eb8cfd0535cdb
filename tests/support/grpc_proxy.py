"""A gRPC server in front of another one: it passes calls on as bytes, and may answer itself or alter an answer."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

import grpc

from qmig.migration import Endpoint
from tests.support.connections import open_channel

THREADS = 32
# Seconds for the server behind it.
TIMEOUT = 120
UNLIMITED: dict[str, Any] = {
    "grpc.max_receive_message_length": -1,
    "grpc.max_send_message_length": -1,
    # A server that is started again behind it is found again at once.
    "grpc.max_reconnect_backoff_ms": 200,
}


@dataclass(frozen=True)
class Refusal:
    """An error in place of an answer. `done` is whether the server carries the call out all the same."""

    status: grpc.StatusCode
    details: str
    retry_after: str | None = None
    done: bool = False


Reply = Refusal | bytes
# What to answer in the server's place, if anything, by a call's path and request.
Replies = Callable[[str, bytes], Reply | None]


def nothing(_path: str, _request: bytes) -> None:
    """The reply of a proxy that leaves every call to the server."""


def as_it_is(_path: str, answer: bytes) -> bytes:
    return answer


class GrpcProxy(grpc.GenericRpcHandler):
    """A proxy before the server at `behind`, at `url`: a port of its own on loopback.

    What `reply` returns is answered in the server's place. `alter` gets a call's path and the server's answer, and
    returns the answer to give. A request larger than `max_message` bytes is refused by gRPC itself.
    """

    def __init__(self, behind: Endpoint, max_message: int = -1) -> None:
        self.reply: Replies = nothing
        self.alter: Callable[[str, bytes], bytes] = as_it_is
        self._channel = open_channel(behind.url, UNLIMITED)
        self._threads = ThreadPoolExecutor(THREADS)
        options = {**UNLIMITED, "grpc.max_receive_message_length": max_message}
        self._server = grpc.server(self._threads, handlers=[self], options=list(options.items()))
        self.port = self._server.add_insecure_port("127.0.0.1:0")
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(None).wait()
        self._channel.close()
        self._threads.shutdown()

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        return grpc.unary_unary_rpc_method_handler(partial(self._answer, handler_call_details.method))

    def _answer(self, path: str, request: bytes, context: grpc.ServicerContext) -> bytes:
        reply = self.reply(path, request)
        if reply is None:
            return self.alter(path, self._pass_on(path, request, context))
        if isinstance(reply, Refusal):
            if reply.done:
                self._pass_on(path, request, context)
            if reply.retry_after is not None:
                context.set_trailing_metadata((("retry-after", reply.retry_after),))
            context.abort(reply.status, reply.details)
        return reply

    def _pass_on(self, path: str, request: bytes, context: grpc.ServicerContext) -> bytes:
        # gRPC's own header besides.
        headers = [(key, value) for key, value in context.invocation_metadata() if key != "user-agent"]
        try:
            return self._channel.unary_unary(path)(request, metadata=headers, timeout=TIMEOUT)
        except grpc.RpcError as error:
            context.set_trailing_metadata(error.trailing_metadata() or ())
            context.abort(error.code(), error.details() or "")
