"""A gRPC server in front of another one: it passes every call on, but for those that it is told to answer itself."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import grpc

from qmig.wire import api

THREADS = 32
TIMEOUT = 120
UNLIMITED: list[tuple[str, Any]] = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # A server that is started again behind it is found again at once.
    ("grpc.max_reconnect_backoff_ms", 200),
]


@dataclass(frozen=True)
class Refusal:
    """An error in place of an answer. `done` is whether the server carries the call out all the same."""

    status: grpc.StatusCode
    details: str
    retry_after: str | None = None
    done: bool = False


@dataclass(frozen=True)
class Unapplied:
    """An update's answer with another status than Completed; the server is not asked."""

    status: int


Reply = Refusal | Unapplied


class Answering:
    """Stands before the server on `port`, on a port of its own."""

    def __init__(self, port: int) -> None:
        self.seen: Counter[str] = Counter()
        self._replies: dict[str, tuple[Reply, bytes]] = {}
        self._left: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._channel = grpc.insecure_channel(f"127.0.0.1:{port}", UNLIMITED)
        self._threads = ThreadPoolExecutor(THREADS)
        self._server = grpc.server(self._threads, handlers=[_Handler(self)], options=UNLIMITED)
        self.port = self._server.add_insecure_port("127.0.0.1:0")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Answering:
        self._server.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.stop(None).wait()
        self._channel.close()
        self._threads.shutdown()

    def answer(self, method: str, reply: Reply, times: int, collection: str) -> None:
        """Answer the next `times` calls of `method`, such as "Upsert", for `collection` with `reply`."""
        # Every request names its collection in field 1, and the serializer writes that first.
        with self._lock:
            self._replies[method] = (reply, b"\n%c%s" % (len(collection), collection.encode()))
            self._left[method] = times

    def left(self, method: str) -> int:
        """How many calls of `method` are still to be answered so."""
        return self._left[method]

    def mend(self) -> None:
        """Pass everything on again."""
        with self._lock:
            self._replies.clear()
            self._left.clear()

    def call(self, path: str, request: bytes, context: grpc.ServicerContext) -> bytes:
        method = path.rpartition("/")[2]
        reply = self._reply(method, request)
        match reply:
            case Unapplied():
                result = api.UpdateResult(status=reply.status)
                return api.PointsOperationResponse(result=result).SerializeToString()
            case Refusal():
                if reply.done:
                    self._pass_on(path, request, context)
                if reply.retry_after is not None:
                    context.set_trailing_metadata((("retry-after", reply.retry_after),))
                context.abort(reply.status, reply.details)
        return self._pass_on(path, request, context)

    def _reply(self, method: str, request: bytes) -> Reply | None:
        with self._lock:
            self.seen[method] += 1
            found = self._replies.get(method)
            if found is None or not self._left[method] or not request.startswith(found[1]):
                return None
            self._left[method] -= 1
            return found[0]

    def _pass_on(self, path: str, request: bytes, context: grpc.ServicerContext) -> bytes:
        keys = [(key, value) for key, value in context.invocation_metadata() if key == "api-key"]
        try:
            answer: bytes = self._channel.unary_unary(path)(request, metadata=keys, timeout=TIMEOUT)
        except grpc.RpcError as error:
            context.set_trailing_metadata(error.trailing_metadata() or ())
            context.abort(error.code(), error.details() or "")
        return answer


class _Handler(grpc.GenericRpcHandler):
    """Every method, with the request's bytes and the answer's."""

    def __init__(self, answering: Answering) -> None:
        self._answering = answering

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any]:
        def handle(request: bytes, context: grpc.ServicerContext) -> bytes:
            return self._answering.call(details.method, request, context)

        return grpc.unary_unary_rpc_method_handler(handle)
