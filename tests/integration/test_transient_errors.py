"""Errors of a cluster that is changing are tried again; the same statuses about something else are not."""

from collections.abc import Iterator

import grpc
import pytest

from qmig.errors import TerminalError, TransientError
from qmig.qdrant.collection import collection_names
from qmig.qdrant.server import Server
from qmig.rpc.transient import TRANSIENT, TRANSIENT_TEXTS
from tests.support.grpc_proxy import GrpcProxy, Refusal, Reply
from tests.support.transient_replies import OF_A_CLUSTER

TERMINAL = [
    Refusal(grpc.StatusCode.INTERNAL, "Service internal error: the segment is broken"),
    Refusal(grpc.StatusCode.FAILED_PRECONDITION, "Pre-condition failure: the quota is not configured"),
    Refusal(grpc.StatusCode.UNKNOWN, "Please retry"),
    Refusal(grpc.StatusCode.DATA_LOSS, "Checksum mismatch: Please retry"),
    Refusal(grpc.StatusCode.UNIMPLEMENTED, "Distributed mode disabled"),
]


@pytest.fixture
def proxy(target_server: Server) -> Iterator[GrpcProxy]:
    with GrpcProxy(target_server.endpoint) as running:
        yield running


def server_behind(proxy: GrpcProxy, target: Server, retry_for: float) -> Server:
    endpoint = type(target.endpoint)("127.0.0.1", proxy.port)
    return Server(endpoint, "target", retry_for=retry_for)


def answer_once(proxy: GrpcProxy, refusal: Refusal) -> list[str]:
    """Refuse the first call; the paths of all calls as they come."""
    paths: list[str] = []

    def reply(path: str, _request: bytes) -> Reply | None:
        paths.append(path)
        return refusal if len(paths) == 1 else None

    proxy.reply = reply
    return paths


@pytest.mark.parametrize("name", OF_A_CLUSTER)
def test_an_error_of_a_changing_cluster_is_tried_again(proxy: GrpcProxy, target_server: Server, name: str) -> None:
    paths = answer_once(proxy, OF_A_CLUSTER[name])
    with server_behind(proxy, target_server, retry_for=30) as server:
        assert isinstance(collection_names(server), list)
    assert len(paths) == 2


@pytest.mark.parametrize("name", OF_A_CLUSTER)
def test_such_an_error_that_stays_ends_after_the_time_for_retries(
    proxy: GrpcProxy, target_server: Server, name: str
) -> None:
    proxy.reply = lambda _path, _request: OF_A_CLUSTER[name]
    with (
        server_behind(proxy, target_server, retry_for=0.2) as server,
        pytest.raises(TransientError) as raised,
    ):
        collection_names(server)
    assert str(raised.value).startswith(f"target {proxy.url}: ")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("refusal", TERMINAL, ids=lambda refusal: refusal.status.name)
def test_another_error_of_these_statuses_is_not_tried_again(
    proxy: GrpcProxy, target_server: Server, refusal: Refusal
) -> None:
    paths = answer_once(proxy, refusal)
    with server_behind(proxy, target_server, retry_for=30) as server, pytest.raises(TerminalError):
        collection_names(server)
    assert len(paths) == 1


def test_each_text_of_the_table_has_an_error_here() -> None:
    for status, parts in TRANSIENT_TEXTS.items():
        assert status not in TRANSIENT
        for part in parts:
            assert any(part in one.details and one.status == status for one in OF_A_CLUSTER.values()), part
