"""Connect to one server over gRPC: TLS, credentials, no limit on messages, errors translated to qmig's own."""

import logging
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
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
    UsageError,
)
from qmig.migration import Endpoint
from qmig.rpc.call import Call
from qmig.rpc.tls import explanation, fault, open_channel
from qmig.rpc.transient import is_transient

Response = TypeVar("Response")

#: Seconds to wait for an answer.
CALL_TIMEOUT = 120.0
#: Seconds to wait for an exact count, which takes long in a large collection.
COUNT_TIMEOUT = 1800
#: Seconds for which a command retries after a transient error while a person waits for it.
RETRY_FOR = 30.0

#: Parts of the errors for a message that is too large, in lower case; the status differs. In order: gRPC in C and Go,
#: in Rust, in Java, and the HTTP status of a proxy.
TOO_LARGE = (
    "message larger than max",
    "message length too large",
    "message exceeds maximum size",
    "status: 413",
)
#: Part of a RESOURCE_EXHAUSTED that waiting does not help: strict mode allows fewer writes a minute than the request
#: has points.
MORE_THAN_A_MINUTES_WRITES = "larger than rate limiter capacity"
#: Matches an INVALID_ARGUMENT that is not about the points.
NO_SHARD_KEY = re.compile(r"Shard key .* not found")

#: Calls under way at once: a read ahead, an upsert for each shard key, a heartbeat. Further calls wait.
MAX_CALLS = 8

CHANNEL_OPTIONS: list[tuple[str, Any]] = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # Each process has its own connections, and reconnects within seconds.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.max_reconnect_backoff_ms", 2000),
    # A connection that a firewall has dropped stays silent. While a call waits, the server is asked from time to time
    # whether it is still there.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 20_000),
]

_BACKOFF = wait_exponential_jitter(multiplier=0.1, max=10, jitter=0.5)

log = logging.getLogger(__name__)


class Connection:
    """A connection to one server. Open it after a fork, never before.

    `role` is "source" or "target" and begins every error message. `metadata` is sent with every call; UsageError
    where it cannot be.
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
        self._check_metadata()
        options = {**dict(CHANNEL_OPTIONS), **dict(channel_options)}
        self._channel = open_channel(endpoint, role, skip_tls_verification, list(options.items()))
        self._threads = ThreadPoolExecutor(MAX_CALLS)

    def call(
        self,
        method: Callable[..., Response],
        request: Any,
        timeout: float = CALL_TIMEOUT,
        retry_for: float | None = None,
    ) -> Response:
        """Call a method of a stub; retry for `retry_for` seconds after a transient error."""

        def attempt() -> Response:
            try:
                return method(request, timeout=timeout, metadata=self._metadata)
            except grpc.RpcError as error:
                raise self.error(error) from None

        return retrying(self.retry_for if retry_for is None else retry_for, before_sleep=_log_retry)(attempt)

    @contextmanager
    def without_retries(self) -> Iterator[None]:
        """Let calls fail at the first transient error, for a caller that waits in its own way."""
        before, self.retry_for = self.retry_for, 0.0
        try:
            yield
        finally:
            self.retry_for = before

    def start(self, method: Any, request: Any) -> Call[Any]:
        """Send a request without waiting for its answer, and without a retry.

        A waiting thread costs less than gRPC's own futures, each of which starts a thread (measured: 1 µs a point).
        """
        arguments = {"timeout": CALL_TIMEOUT, "metadata": self._metadata}
        return Call(self._threads.submit(method, request, **arguments), self._translate)

    def raw_method(self, path: str) -> Any:
        """The method at `path`, for serialized requests and answers."""
        return self._channel.unary_unary(path)

    def _translate(self, error: Exception) -> Exception:
        return self.error(error) if isinstance(error, grpc.RpcError) else error

    def error(self, error: grpc.RpcError) -> QmigError:
        """Translate a failed call to an error in one line: transient or terminal by its status."""
        status, details = error.code(), " ".join((error.details() or "").split())
        if self.endpoint.tls and (reason := fault(details)):
            # Transient, since certificates are renewed while servers run.
            message = explanation(self.endpoint, self.role, reason, self._skip_tls_verification)
            return TransientError(message, reason=f"{self.role} certificate")
        message = f"{self.role} {self.endpoint.url}: {details or status.name}"
        if any(sign in details.lower() for sign in TOO_LARGE):
            return MessageTooLargeError(message)
        if status == grpc.StatusCode.INVALID_ARGUMENT or MORE_THAN_A_MINUTES_WRITES in details:
            return NotFoundError(message) if NO_SHARD_KEY.search(details) else ContentsRefusedError(message)
        if is_transient(status, details):
            reason = f"{self.role} {status.name.lower().replace('_', ' ')}"
            return TransientError(message, _retry_after(error), reason)
        if status == grpc.StatusCode.NOT_FOUND:
            return NotFoundError(message)
        if status in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED):
            return AccessError(f"{message}; {self._credentials_hint()}")
        return TerminalError(message)

    def _check_metadata(self) -> None:
        for name, value in self._metadata:
            if not (value.isascii() and value.isprintable()):
                raise UsageError(
                    f"{self.role} {self.endpoint.url}: its {name} has a line break or another character that cannot "
                    f"be sent; {self._credentials_hint()}"
                )

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
    """Retry transient errors with exponential backoff and jitter, for `retry_for` seconds in all."""
    return Retrying(
        retry=retry_if_exception_type(TransientError),
        wait=pause_before_retry,
        stop=stop_after_delay(retry_for),
        reraise=True,
        **hooks,
    )


def pause_before_retry(state: Any) -> float:
    """Seconds before the next attempt: those that the server asks for, or else growing ones with jitter."""
    asked = getattr(state.outcome.exception(), "retry_after", None)
    return float(asked) if asked is not None else _BACKOFF(state)


def _log_retry(state: Any) -> None:
    """Log the first failure of a call; the attempts after it would say the same again."""
    if state.attempt_number == 1:
        log.info("%s; retrying", state.outcome.exception())


def _retry_after(error: grpc.RpcError) -> float | None:
    """Seconds that the server asks to wait; None where it does not, or gives a date as proxies do."""
    for entry in error.trailing_metadata() or ():
        if entry.key == "retry-after" and str(entry.value).isdecimal():
            return float(entry.value)
    return None
