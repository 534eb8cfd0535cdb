"""Find out why a server does not answer: the usual mistakes in a URL."""

import http.client
import socket
import ssl

from qmig.errors import QmigError
from qmig.migration import Endpoint
from qmig.rpc.tls import no_tls

#: Seconds for each attempt to reach a server.
TIMEOUT = 5.0


def explain(endpoint: Endpoint, role: str, error: QmigError, product: str, default_port: int | None) -> str:
    """Explain in one line why `endpoint` does not answer gRPC, and what to do about it.

    `product` is what should answer there, and `default_port` its usual port.
    """
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
        # The error itself says what is wrong with a certificate.
        return str(error) if _speaks_tls(endpoint) else no_tls(endpoint, role)
    if _speaks_http1(endpoint):
        port = f"{product}'s gRPC port ({default_port} by default)"
        return f"{where}: this is an HTTP port, not gRPC; give {port} in {option}"
    if _speaks_tls(endpoint):
        return f"{where}: the server speaks TLS; give {option} as https://{endpoint.address}"
    answer = str(error).removeprefix(f"{where}: ")
    return f"{where}: does not answer gRPC: {answer}; check that it is {product}'s gRPC port"


def _speaks_tls(endpoint: Endpoint) -> bool:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    try:
        with (
            socket.create_connection((endpoint.host, endpoint.port), TIMEOUT) as plain,
            context.wrap_socket(plain, server_hostname=endpoint.host),
        ):
            return True
    except OSError:
        return False


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
