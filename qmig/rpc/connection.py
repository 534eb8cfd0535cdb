"""A channel to one server: TLS, API key, no message limit, and every failure as an error of qmig's."""

import logging
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self, TypeVar

import grpc
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_exponential_jitter

from qmig.errors import (
    AccessError,
    ContentsRefusedError,
    MessageTooLargeError,
    NotFoundError,
    QmigError,
    TerminalError,
    TransientError,
)
from qmig.migration import Endpoint
from qmig.rpc.call import Call
from qmig.rpc.tls import explanation, fault, open_channel

Response = TypeVar("Response")

# Seconds until a call that got no answer is given up; an exact count of a large collection takes long.
CALL_TIMEOUT = 120.0
COUNT_TIMEOUT = 1800
# Seconds for which a command that a person waits for tries again after a transient error.
RETRY_FOR = 30.0

TRANSIENT = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.CANCELLED,
}
# INTERNAL, but only for now: none of a shard's replicas can answer. "0 of 0" of them is what a cluster says
# of a collection that was created this moment (measured on 1.18.3).
NO_REPLICA_ANSWERS = "read operations failed"
# A message that is too large, under a status that is each server's own: gRPC in C and Go, in Rust, in Java, and a
# proxy's HTTP status.
TOO_LARGE = (
    "message larger than max",
    "message length too large",
    "message exceeds maximum size",
    "status: 413",
)
# RESOURCE_EXHAUSTED, but waiting does not help: strict mode allows fewer writes a minute than the request has points.
MORE_THAN_A_MINUTES_WRITES = "larger than rate limiter capacity"
# INVALID_ARGUMENT, though nothing is wrong with the points.
NO_SHARD_KEY = re.compile(r"Shard key .* not found")

# Requests under way: a read ahead, an upsert a shard key, a beat of the lease; what exceeds it waits its turn.
CALLS_AT_ONCE = 8

CHANNEL_OPTIONS: list[tuple[str, Any]] = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # Each process has connections of its own, and a lost one is tried again within seconds.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.max_reconnect_backoff_ms", 2000),
    # A connection that a firewall has forgotten is silent for ever: while a call waits, the server is asked now
    # and then whether it is still there.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 20_000),
]

log = logging.getLogger(__name__)


class Connection:
    """One server over gRPC. Make it after a fork, never before.

    `role` is "source" or "target" and begins every error message. Every call takes `metadata` along by itself.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        role: str,
        metadata: Sequence[tuple[str, str]] = (),
        skip_tls_verification: bool = False,
        retry_for: float = RETRY_FOR,
        channel_options: Sequence[tuple[str, Any]] = (),
    ) -> None:
        self.endpoint = endpoint
        self.retry_for = retry_for
        self.role = role
        self._metadata = tuple(metadata)
        self._skip_tls_verification = skip_tls_verification
        options = {**dict(CHANNEL_OPTIONS), **dict(channel_options)}
        self._channel = open_channel(endpoint, role, skip_tls_verification, list(options.items()))
        self._threads = ThreadPoolExecutor(CALLS_AT_ONCE)

    def call(
        self,
        method: Callable[..., Response],
        request: Any,
        timeout: float = CALL_TIMEOUT,
        retry_for: float | None = None,
    ) -> Response:
        """Call a method of one of the stubs; transient errors are tried again for `retry_for` seconds."""

        def attempt() -> Response:
            try:
                return method(request, timeout=timeout, metadata=self._metadata)
            except grpc.RpcError as error:
                raise self.error(error) from None

        return retrying(self.retry_for if retry_for is None else retry_for, before_sleep=_log_retry)(attempt)

    def start(self, method: Any, request: Any) -> Call[Any]:
        """Send a request and go on; the answer is in the call. Nothing is tried again.

        A thread that waits costs less than gRPC's own futures, which start a thread each (measured: 1 µs a point).
        """
        arguments = {"timeout": CALL_TIMEOUT, "metadata": self._metadata}
        return Call(self._threads.submit(method, request, **arguments), self._translate)

    def raw_method(self, path: str) -> Any:
        """The method at `path` with serialized messages for request and answer."""
        return self._channel.unary_unary(path)

    def _translate(self, error: Exception) -> Exception:
        return self.error(error) if isinstance(error, grpc.RpcError) else error

    def error(self, error: grpc.RpcError) -> QmigError:
        """What a failed call means, in one line: transient or terminal by its status."""
        status, details = error.code(), " ".join((error.details() or "").split())
        if self.endpoint.tls and (reason := fault(details)):
            # Certificates are renewed while servers run.
            message = explanation(self.endpoint, self.role, reason, self._skip_tls_verification)
            return TransientError(message, reason=f"{self.role} certificate")
        message = f"{self.role} {self.endpoint.url}: {details or status.name}"
        if any(sign in details.lower() for sign in TOO_LARGE):
            return MessageTooLargeError(message)
        if status == grpc.StatusCode.INVALID_ARGUMENT or MORE_THAN_A_MINUTES_WRITES in details:
            return NotFoundError(message) if NO_SHARD_KEY.search(details) else ContentsRefusedError(message)
        if status in TRANSIENT or NO_REPLICA_ANSWERS in details:
            reason = f"{self.role} {status.name.lower().replace('_', ' ')}"
            return TransientError(message, _retry_after(error), reason)
        if status == grpc.StatusCode.NOT_FOUND:
            return NotFoundError(message)
        if status in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED):
            return AccessError(f"{message}; {self._credentials_hint()}")
        return TerminalError(message)

    def _credentials_hint(self) -> str:
        option = f"--{self.role}-api-key"
        return f"check {option} or ${option.strip('-').replace('-', '_').upper()}"

    def close(self) -> None:
        self._channel.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def retrying(retry_for: float, **hooks: Any) -> Retrying:
    """Exponential backoff with jitter over transient errors, for `retry_for` seconds in all."""
    backoff = wait_exponential_jitter(multiplier=0.1, max=10, jitter=0.5)

    def wait(state: Any) -> float:
        asked = getattr(state.outcome.exception(), "retry_after", None)
        return float(asked) if asked is not None else backoff(state)

    return Retrying(
        retry=retry_if_exception_type(TransientError),
        wait=wait,
        stop=stop_after_delay(retry_for),
        reraise=True,
        **hooks,
    )


def _log_retry(state: Any) -> None:
    log.info("%s; trying again", state.outcome.exception())


def _retry_after(error: grpc.RpcError) -> float | None:
    """Seconds that the server asks to wait, if it does; a proxy's date is left to the backoff."""
    for entry in error.trailing_metadata() or ():
        if entry.key == "retry-after" and str(entry.value).isdecimal():
            return float(entry.value)
    return None
