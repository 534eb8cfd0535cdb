"""Run the server: its services on a port, an API key, TLS, and an orderly end."""

from __future__ import annotations

import hmac
import os
import signal
import ssl
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NoReturn

import grpc
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.message import Message
from qdrant_client.grpc import (
    collections_service_pb2,
    points_service_pb2,
    qdrant_pb2,
    snapshots_service_pb2,
)

from qmig.embedded.qdrant.calls import serves, service_handler
from qmig.embedded.qdrant.collections_service import CollectionsService
from qmig.embedded.qdrant.points_service import PointsService
from qmig.embedded.qdrant.storage import Storage
from qmig.errors import TerminalError
from qmig.qdrant import messages as api

VERSION = "1.18.3"
THREADS = 16
#: Seconds that calls under way have to end when the server stops.
STOP_SECONDS = 2.0
#: grpc.health.v1.HealthCheckResponse with the status SERVING.
SERVING = b"\x08\x01"


class HealthService:
    """The calls of `qdrant.Qdrant`."""

    @serves()
    def HealthCheck(self, _: Message) -> Message:
        return api.HealthCheckReply(title="qdrant - vector search engine", version=VERSION, commit="embedded")


class KeyCheck(grpc.ServerInterceptor):
    """Refuses calls without the API key, health checks excepted."""

    OPEN = ("/qdrant.Qdrant/HealthCheck", "/grpc.health.v1.Health/Check")

    def __init__(self, api_key: str) -> None:
        self.api_key = api_key.encode()

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], grpc.RpcMethodHandler[Any, Any] | None],
        details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        if details.method in self.OPEN:
            return continuation(details)
        metadata = {name: str(value) for name, value in details.invocation_metadata}
        key = metadata.get("api-key")
        if key is None and metadata.get("authorization", "").startswith("Bearer "):
            key = metadata["authorization"].removeprefix("Bearer ")
        if key is None:
            return denied("Must provide an API key or an Authorization bearer token")
        if not hmac.compare_digest(key.encode(), self.api_key):
            return denied("Invalid API key or JWT")
        return continuation(details)


def denied(text: str) -> grpc.RpcMethodHandler[Any, Any]:
    def call(_: bytes, context: grpc.ServicerContext) -> NoReturn:
        context.abort(grpc.StatusCode.UNAUTHENTICATED, text)

    return grpc.unary_unary_rpc_method_handler(call)


def serve(
    path: Path,
    host: str = "127.0.0.1",
    port: int = 0,
    api_key: str | None = None,
    tls: tuple[Path, Path] | None = None,
) -> None:
    """Serve the collections in `path` until SIGTERM or SIGINT; `tls` is the certificate's and the key's file.

    Prints `listening on URL` when ready. Raises TerminalError for what the user can correct.
    """
    wait_for_signal = signal_waiter(signal.SIGTERM, signal.SIGINT)
    credentials = read_tls(*tls) if tls else None
    address = f"[{host}]" if ":" in host else host
    storage = Storage(path)
    try:
        server = grpc.server(
            ThreadPoolExecutor(THREADS),
            handlers=handlers(storage),
            interceptors=[KeyCheck(api_key)] if api_key else [],
            options=[
                ("grpc.max_receive_message_length", -1),
                ("grpc.max_send_message_length", -1),
                ("grpc.so_reuseport", 0),
                # Like a real server, it allows any number of keepalive pings.
                ("grpc.http2.min_ping_interval_without_data_ms", 1000),
            ],
        )
        bound = bind(server, f"{address}:{port}", credentials)
        server.start()
        print(f"listening on {'https' if tls else 'http'}://{address}:{bound}", flush=True)
        wait_for_signal()
        server.stop(STOP_SECONDS).wait()
    finally:
        storage.close()


def signal_waiter(*numbers: signal.Signals) -> Callable[[], object]:
    """Catch the signals from now on; the returned function waits for one.

    A signal writes a byte to a pipe. A lock could already be held by the code that the signal interrupts.
    """
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    for number in numbers:
        signal.signal(number, lambda *_: None)
    return lambda: os.read(reader, 1)


def bind(server: grpc.Server, address: str, credentials: grpc.ServerCredentials | None) -> int:
    try:
        if credentials is not None:
            return int(server.add_secure_port(address, credentials))
        return int(server.add_insecure_port(address))
    except RuntimeError as error:
        raise TerminalError(
            f"cannot listen on {address}: the port is in use or the address is not this machine's; "
            "give another --port (0 picks a free one) or --host"
        ) from error


def read_tls(certificate: Path, key: Path) -> grpc.ServerCredentials:
    contents = []
    for option, path in (("--tls-cert", certificate), ("--tls-key", key)):
        try:
            contents.append(path.read_bytes())
        except OSError as error:
            raise TerminalError(f"cannot read {option} {path}: {error.strerror}; give a PEM file") from error
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(certificate, key, password="")
    except ssl.SSLError as error:
        raise TerminalError(
            f"--tls-cert {certificate} and --tls-key {key} are no certificate and its unencrypted key; "
            "give the two PEM files that belong together"
        ) from error
    return grpc.ssl_server_credentials([(contents[1], contents[0])])


def handlers(storage: Storage) -> list[grpc.GenericRpcHandler]:
    """Every service of Qdrant's public API, served or refused, and gRPC's own health check."""
    served: list[tuple[FileDescriptor, str, object | None]] = [
        (qdrant_pb2.DESCRIPTOR, "Qdrant", HealthService()),
        (collections_service_pb2.DESCRIPTOR, "Collections", CollectionsService(storage)),
        (points_service_pb2.DESCRIPTOR, "Points", PointsService(storage)),
        (snapshots_service_pb2.DESCRIPTOR, "Snapshots", None),
    ]
    health: Any = {"Check": grpc.unary_unary_rpc_method_handler(lambda *_: SERVING)}
    return [
        *(service_handler(file.services_by_name[name], service) for file, name, service in served),
        grpc.method_handlers_generic_handler("grpc.health.v1.Health", health),
    ]
