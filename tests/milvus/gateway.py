"""A gateway on the wire before a Milvus server: it passes calls on as they are and keeps their headers."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

import grpc

LOOPBACK = "127.0.0.1"
TIMEOUT = 60.0


class Gateway(grpc.GenericRpcHandler):
    """Listens on a port of loopback; `headers` are those of every call, in order."""

    def __init__(self, url: str) -> None:
        self.headers: list[dict[str, str]] = []
        self._channel = grpc.insecure_channel(url.removeprefix("http://"))
        self._server = grpc.server(ThreadPoolExecutor(8), handlers=(self,))
        self.url = f"http://{LOOPBACK}:{self._server.add_insecure_port(f'{LOOPBACK}:0')}"

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any]:
        self.headers.append({key: str(value) for key, value in details.invocation_metadata or ()})
        method = self._channel.unary_unary(details.method)

        def pass_on(request: bytes, context: grpc.ServicerContext) -> bytes:
            try:
                return method(request, timeout=TIMEOUT)
            except grpc.RpcError as error:
                return context.abort(error.code(), error.details())

        return grpc.unary_unary_rpc_method_handler(pass_on)

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.stop(None).wait()
        self._channel.close()
