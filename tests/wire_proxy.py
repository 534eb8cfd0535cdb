"""A gRPC server in front of a Qdrant that passes calls on as bytes, and may refuse requests and alter answers."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Self

import grpc

from qmig.connections import CHANNEL_OPTIONS
from qmig.migration import Endpoint

Refusal = tuple[grpc.StatusCode, str]
UPSERT, SCROLL = "/qdrant.Points/Upsert", "/qdrant.Points/Scroll"


class WireProxy(grpc.GenericRpcHandler):
    """Listens on loopback; `url` is its address.

    `refuse` gets a call's path and request and may return a status; `alter` gets path and answer and returns the
    answer to give. A request larger than `max_message` bytes is refused by gRPC itself.
    """

    def __init__(self, upstream: Endpoint, max_message: int = -1) -> None:
        self.refuse: Callable[[str, bytes], Refusal | None] = lambda _path, _request: None
        self.alter: Callable[[str, bytes], bytes] = lambda _path, answer: answer
        self._channel = grpc.insecure_channel(upstream.address, CHANNEL_OPTIONS)
        self._server = grpc.server(
            ThreadPoolExecutor(16),
            handlers=[self],
            options=[("grpc.max_receive_message_length", max_message), ("grpc.max_send_message_length", -1)],
        )
        self.url = f"http://127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        return grpc.unary_unary_rpc_method_handler(partial(self._pass_on, handler_call_details.method))

    def _pass_on(self, path: str, request: bytes, context: grpc.ServicerContext) -> Any:
        refusal = self.refuse(path, request)
        if refusal is not None:
            context.abort(*refusal)
        try:
            answer = self._channel.unary_unary(path)(request, timeout=60)
        except grpc.RpcError as error:
            context.abort(error.code(), error.details())
        return self.alter(path, answer)

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(None)
        self._channel.close()
