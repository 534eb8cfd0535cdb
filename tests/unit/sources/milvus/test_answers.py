"""Which answers of a Milvus are waited for, which ask for a smaller range, and which end the chunk; on the wire."""

from collections.abc import Iterator

import grpc
import pytest

from qmig.errors import AccessError, NotFoundError, QmigError, TerminalError, TransientError
from qmig.migration import Credentials, Endpoint, Migration, SourceSpec, TargetSpec
from qmig.sources.milvus.connection import (
    MilvusConnection,
    PartitionGoneError,
    ResultTooLargeError,
    UnsupportedCallError,
)
from qmig.sources.milvus.messages import common, milvus
from tests.support.grpc_proxy import GrpcProxy, Refusal, Reply

CODES = grpc.StatusCode
ENDPOINT = Endpoint("127.0.0.1", 1)


@pytest.fixture(scope="module")
def proxy() -> Iterator[GrpcProxy]:
    with GrpcProxy(ENDPOINT) as server:
        yield server


def error_of(proxy: GrpcProxy, reply: Reply) -> QmigError:
    """The error that a query ends with when it is answered so."""
    proxy.reply = lambda _path, _request: reply
    source = SourceSpec("milvus", Endpoint.parse(proxy.url, "url"), "rows")
    migration = Migration(source, TargetSpec(ENDPOINT, "rows"))
    with MilvusConnection(migration, Credentials(), retry_for=0) as server, pytest.raises(QmigError) as raised:
        server.query(milvus.QueryRequest(collection_name="rows"))
    return raised.value


def status(code: int = 0, old_code: int = 0, reason: str = "so it is", retriable: bool = False) -> bytes:
    answer = common.Status(code=code, error_code=old_code, reason=reason, retriable=retriable)
    return milvus.QueryResults(status=answer).SerializeToString()


@pytest.mark.parametrize(
    ("code", "details", "kind"),
    [
        (CODES.RESOURCE_EXHAUSTED, "rate limit exceeded", TransientError),
        (CODES.RESOURCE_EXHAUSTED, "request rate exceeds the maximum of 100 a second", TransientError),
        (CODES.RESOURCE_EXHAUSTED, "quota exceeded: too many concurrent streams", TransientError),
        (CODES.RESOURCE_EXHAUSTED, "", TransientError),
        (CODES.RESOURCE_EXHAUSTED, "grpc: trying to send message larger than max (9 vs. 8)", ResultTooLargeError),
        (CODES.RESOURCE_EXHAUSTED, "CLIENT: Received message larger than max (9 vs. 8)", ResultTooLargeError),
        (CODES.UNKNOWN, "=> query results exceed the limit size at SegmentInterface.cpp:116", ResultTooLargeError),
        (CODES.UNAVAILABLE, "Received http2 header with status: 502", TransientError),
        (CODES.DEADLINE_EXCEEDED, "too slow", TransientError),
        (CODES.ABORTED, "try again", TransientError),
        (CODES.INTERNAL, "Received RST_STREAM with error code 2", TransientError),
        (CODES.UNKNOWN, "Stream removed", TransientError),
        (CODES.UNIMPLEMENTED, "unknown method Query", UnsupportedCallError),
        (CODES.UNAUTHENTICATED, "auth check failure", AccessError),
        (CODES.PERMISSION_DENIED, "no", AccessError),
        (CODES.INTERNAL, "panic: index out of range", TerminalError),
    ],
)
def test_a_failed_call(proxy: GrpcProxy, code: grpc.StatusCode, details: str, kind: type[QmigError]) -> None:
    error = error_of(proxy, Refusal(code, details))

    assert type(error) is kind
    assert str(error).startswith(f"source {proxy.url}: {details or code.name}")


@pytest.mark.parametrize(
    ("code", "old_code", "reason", "kind", "says"),
    [
        (8, 49, "request is rejected by grpc RateLimiter middleware", TransientError, ""),
        (8, 49, "the rate exceeds the maximum of 100", TransientError, ""),
        (9, 48, "quota exceeded[reason=deny to read by force]", TransientError, ""),
        (0, 48, "force deny, access has been disabled by the administrator", TransientError, ""),
        (0, 49, "rate limit exceeded", TransientError, ""),
        (3, 53, "memory limit exceeded", TransientError, ""),
        (7, 54, "disk limit exceeded", TransientError, ""),
        (103, 1, "collection not fully loaded", TransientError, ""),
        (202, 1, "partition not fully loaded", PartitionGoneError, ""),
        (400, 46, "replica not found", TransientError, ""),
        (500, 1, "channel not found", TransientError, ""),
        (503, 1, "channel not available", TransientError, ""),
        (601, 1, "segment not loaded", TransientError, ""),
        (901, 1, "node not found", TransientError, ""),
        (905, 1, "node not available", TransientError, ""),
        (0, 45, "not the shard leader", TransientError, ""),
        (1002, 1, "unexpected EOF", TransientError, ""),
        (10001, 1, "context deadline exceeded", TransientError, ""),
        (65535, 1, "rpc error: code = Unavailable desc = connection error", TransientError, ""),
        (101, 1, "collection not loaded", TerminalError, "load the collection into memory first"),
        (201, 1, "partition not loaded", PartitionGoneError, ""),
        (65535, 1, "segment 471 belongs to partition 470, which is not in [469]", PartitionGoneError, ""),
        (100, 4, "can't find collection", NotFoundError, ""),
        (0, 4, "can't find collection", NotFoundError, ""),
        (800, 1, "database not found", TerminalError, "check --source-database"),
        (1401, 3, "privilege not permitted", AccessError, "check --source-api-key"),
        (10, 1, "service unimplemented", UnsupportedCallError, ""),
        (65535, 1, "query results exceed the maxOutputSize Limit", ResultTooLargeError, ""),
        (65535, 1, "invalid max query result window, it should be in [1, 16384]", ResultTooLargeError, ""),
        (5, 1, "grpc: trying to send message larger than max (9 vs. 8)", ResultTooLargeError, ""),
        (1100, 5, "cannot parse expression", TerminalError, ""),
        (2000, 1, "segcore error", TerminalError, ""),
    ],
)
def test_a_status_in_an_answer(
    proxy: GrpcProxy, code: int, old_code: int, reason: str, kind: type[QmigError], says: str
) -> None:
    error = error_of(proxy, status(code, old_code, reason))

    assert type(error) is kind
    assert reason in str(error)
    assert says in str(error)


def test_a_status_that_its_server_calls_retriable_is_waited_for(proxy: GrpcProxy) -> None:
    assert type(error_of(proxy, status(7777, 1, retriable=True))) is TransientError
    assert type(error_of(proxy, status(7777, 1, retriable=False))) is TerminalError
