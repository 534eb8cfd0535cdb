"""Which answers mean that the contents are at fault, so that a batch is halved and not retried."""

import grpc
import pytest

from qmig.errors import AccessError, ContentsRefusedError, NotFoundError, QmigError, TerminalError, TransientError
from qmig.migration import Endpoint
from qmig.qdrant.server import Server

CODES = grpc.StatusCode


class Refused(grpc.RpcError):
    """An answer with a status other than OK."""

    def __init__(self, code: grpc.StatusCode, details: str) -> None:
        self.code = lambda: code
        self.details = lambda: details
        self.trailing_metadata = tuple


# The texts of Qdrant 1.18.3 and 1.19.0, of gRPC in C, Go and Rust, and of HTTP proxies.
@pytest.mark.parametrize(
    ("code", "details", "kind"),
    [
        (CODES.INVALID_ARGUMENT, "Wrong input: Vector dimension error: expected dim: 4, got 2", ContentsRefusedError),
        (CODES.INVALID_ARGUMENT, "cannot convert to json number", ContentsRefusedError),
        (CODES.INVALID_ARGUMENT, "Bad request: Max points count limit of 500 reached!", ContentsRefusedError),
        (CODES.INVALID_ARGUMENT, 'Wrong input: Shard key "a" not found', NotFoundError),
        (CODES.RESOURCE_EXHAUSTED, "SERVER: Received message larger than max (5 vs. 4)", ContentsRefusedError),
        (CODES.RESOURCE_EXHAUSTED, "grpc: received message larger than max (5 vs. 4)", ContentsRefusedError),
        (
            CODES.OUT_OF_RANGE,
            "Error, decoded message length too large: found 5 bytes, the limit is: 4 bytes",
            ContentsRefusedError,
        ),
        (CODES.UNKNOWN, "Received http2 header with status: 413", ContentsRefusedError),
        (
            CODES.RESOURCE_EXHAUSTED,
            "Write rate limit exceeded, request larger than rate limiter capacity, please try to split your request",
            ContentsRefusedError,
        ),
        (
            CODES.RESOURCE_EXHAUSTED,
            "Write rate limit exceeded: Operation requires 4 tokens but only 1.0 were available",
            TransientError,
        ),
        (CODES.RESOURCE_EXHAUSTED, "Quota exceeded: 95 % of the disk are in use", TransientError),
        (CODES.UNAVAILABLE, "connection refused", TransientError),
        (CODES.UNAVAILABLE, "Received http2 header with status: 502", TransientError),
        (CODES.INTERNAL, "Received RST_STREAM with error code 2", TransientError),
        (CODES.UNKNOWN, "Stream removed", TransientError),
        (CODES.NOT_FOUND, "Not found: Collection `nope` doesn't exist!", NotFoundError),
        (CODES.PERMISSION_DENIED, "no", AccessError),
        (CODES.INTERNAL, "Service internal error: No space left on device", TerminalError),
        (
            CODES.INTERNAL,
            "Service internal error: Failed to apply operation to at least one `Active` replica. Consistency of this "
            "update is not guaranteed. Please retry.",
            TransientError,
        ),
    ],
)
def test_what_an_answer_means(code: grpc.StatusCode, details: str, kind: type[QmigError]) -> None:
    with Server(Endpoint.parse("http://127.0.0.1:1", "url"), "target") as server:
        error = server.error(Refused(code, details))
    assert isinstance(error, kind)
    assert isinstance(error, ContentsRefusedError) == (kind is ContentsRefusedError)
    assert details in str(error)
