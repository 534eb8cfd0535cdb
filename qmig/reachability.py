"""Whether a server answers at all, and if not, which of the usual mistakes it is."""

import http.client
import socket
import ssl

from qmig.connections import Server, no_tls
from qmig.errors import QmigError, TerminalError
from qmig.migration import GRPC_PORT, Endpoint
from qmig.wire import api

# Seconds for each question that is put to a server.
TIMEOUT = 5.0


def server_version(server: Server) -> str:
    """The server's version; TerminalError with the likely mistake where no Qdrant answers gRPC."""
    try:
        answer = server.call(server.health.HealthCheck, api.HealthCheckRequest(), timeout=TIMEOUT, retry_for=0)
    except QmigError as error:
        raise TerminalError(explain(server.endpoint, server.role, error)) from None
    return answer.version


def explain(endpoint: Endpoint, role: str, error: QmigError, product: str = "Qdrant", port: int = GRPC_PORT) -> str:
    """One line on why `endpoint` does not answer, and what to do about it. `port` is the product's usual one."""
    option, where = f"--{role}-url", f"{role} {endpoint.url}"
    try:
        socket.create_connection((endpoint.host, endpoint.port), TIMEOUT).close()
    except socket.gaierror:
        return f"{where}: no host named {endpoint.host!r} is known; check {option}"
    except ConnectionRefusedError:
        return f"{where}: nothing listens there; start the server or check {option}"
    except OSError as refused:
        return f"{where}: cannot be reached: {refused}; check {option} and the network"
    if endpoint.tls:
        return _explain_tls(endpoint, role, error)
    if _speaks_http1(endpoint):
        return f"{where}: this is an HTTP port, not gRPC; give {product}'s gRPC port ({port} by default) in {option}"
    if _handshake(endpoint, _unverified()) is None:
        return f"{where}: the server speaks TLS; give {option} as https://{endpoint.address}"
    return f"{where}: does not answer gRPC: {error}; check that it is {product}'s gRPC port"


def _explain_tls(endpoint: Endpoint, role: str, error: QmigError) -> str:
    where = f"{role} {endpoint.url}"
    # Like OpenSSL's own programs it trusts what $SSL_CERT_FILE names.
    failure = _handshake(endpoint, ssl.create_default_context())
    if isinstance(failure, ssl.SSLCertVerificationError):
        return (
            f"{where}: its certificate is not trusted: {failure.verify_message}; set $SSL_CERT_FILE to the "
            "certificate of its authority, or give --skip-tls-verification"
        )
    if failure is not None:
        return no_tls(endpoint, role)
    return f"{where}: {error}"


def _handshake(endpoint: Endpoint, context: ssl.SSLContext) -> Exception | None:
    context.set_alpn_protocols(["h2"])
    try:
        with (
            socket.create_connection((endpoint.host, endpoint.port), TIMEOUT) as plain,
            context.wrap_socket(plain, server_hostname=endpoint.host),
        ):
            return None
    except OSError as error:
        return error


def _unverified() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _speaks_http1(endpoint: Endpoint) -> bool:
    connection = http.client.HTTPConnection(endpoint.host, endpoint.port, timeout=TIMEOUT)
    try:
        connection.request("GET", "/")
        connection.getresponse()
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
    return True
