"""A source that draws no sample is planned by its ids; one that cannot be planned ends the command with one line."""

from collections.abc import Iterator
from itertools import pairwise

import grpc
import pytest

from qmig.coordinator.plan import cut, plan_size
from qmig.errors import TerminalError
from qmig.ledger.ledger import Ledger
from qmig.migration import Endpoint
from qmig.qdrant import messages as api
from qmig.qdrant.reader import CollectionReader
from qmig.qdrant.server import Server
from tests.support.collections import create, dense_params, fill, info, simple_points
from tests.support.command import Run
from tests.support.ends import Ends
from tests.support.grpc_proxy import GrpcProxy, Refusal, Reply
from tests.support.migrations import arrived, chunks_of, fill_source, record_of
from tests.support.waiting import until

MIGRATION = "00000000-0000-0000-0000-000000000001"
PANIC = "Service internal error: 1 of 1 read operations failed: task 7 panicked with message index out of bounds"
POINTS = 900


@pytest.fixture
def proxy(ends: Ends) -> Iterator[GrpcProxy]:
    with GrpcProxy(ends.source.endpoint) as before_source:
        yield before_source


def refuse(proxy: GrpcProxy, refusal: Refusal, *methods: str) -> None:
    def reply(path: str, _request: bytes) -> Reply | None:
        return refusal if path.rpartition("/")[2] in methods else None

    proxy.reply = reply


@pytest.mark.parametrize(
    "refusal",
    [
        Refusal(grpc.StatusCode.INTERNAL, PANIC),
        Refusal(grpc.StatusCode.UNIMPLEMENTED, "unknown method Query"),
        Refusal(grpc.StatusCode.PERMISSION_DENIED, "queries are not allowed"),
        Refusal(grpc.StatusCode.INVALID_ARGUMENT, "sampling is not allowed in strict mode"),
    ],
    ids=lambda refusal: refusal.status.name.lower(),
)
def test_a_source_without_samples_is_cut_by_its_ids(
    ends: Ends, proxy: GrpcProxy, fleet: str, qmig: Run, refusal: Refusal
) -> None:
    fill_source(ends, POINTS)
    refuse(proxy, refusal, "Query")

    result = qmig("qdrant", *ends.through(proxy.url), "-c", "--chunk-size", "300", broker=fleet)

    assert result.returncode == 0, result.stderr
    assert arrived(ends)
    assert [(chunk.start, chunk.end) for chunk in chunks_of(ends)] == [(None, "300"), ("300", "600"), ("600", None)]
    assert result.stderr.count("no sample of the ids can be drawn") == 1
    assert refusal.details in result.stderr


def test_a_plan_by_ids_is_continued_where_it_ended(ends: Ends, proxy: GrpcProxy) -> None:
    fill_source(ends, POINTS)
    refuse(proxy, Refusal(grpc.StatusCode.UNIMPLEMENTED, "unknown method Query"), "Query")
    with Server(Endpoint.parse(proxy.url, "url"), "source") as server:
        source = CollectionReader(server, ends.source_name)
        whole = list(cut(source, plan_size(source, 100), MIGRATION))
        rest = list(cut(source, plan_size(source, 100), MIGRATION, whole[3]))

    assert [chunk.end for chunk in whole] == [*(str(end) for end in range(100, 900, 100)), None]
    assert [chunk.end for chunk in rest] == [chunk.end for chunk in whole[4:]]
    continued = [*whole[:4], *rest]
    assert all(chunk.end == following.start for chunk, following in pairwise(continued))


def test_ids_that_come_out_of_order_are_no_plan(ends: Ends, proxy: GrpcProxy) -> None:
    """A gateway whose pages do not advance would be read for ever."""
    fill_source(ends, POINTS)
    refuse(proxy, Refusal(grpc.StatusCode.UNIMPLEMENTED, "unknown method Query"), "Query")

    def the_same_page(path: str, answer: bytes) -> bytes:
        if not path.endswith("/Scroll"):
            return answer
        page = api.ScrollResponse.FromString(answer)
        page.next_page_offset.num = 0
        return page.SerializeToString()

    proxy.alter = the_same_page
    with Server(Endpoint.parse(proxy.url, "url"), "source") as server:
        source = CollectionReader(server, ends.source_name)
        with pytest.raises(TerminalError, match="returned id 0 after 899"):
            list(cut(source, plan_size(source, 100), MIGRATION))


def test_a_source_that_cannot_be_planned_ends_the_command_within_the_time(
    ends: Ends, proxy: GrpcProxy, fleet: str, qmig: Run
) -> None:
    fill_source(ends, POINTS)
    ledger = Ledger(ends.target, ends.ledger)

    def reply(path: str, _request: bytes) -> Reply | None:
        """The source is there for the checks, which come before anything is written."""
        is_away = path.rpartition("/")[2] in ("Query", "Scroll") and ledger.exists()
        return Refusal(grpc.StatusCode.UNAVAILABLE, "not today") if is_away else None

    proxy.reply = reply

    result = qmig("qdrant", *ends.through(proxy.url), "-c", "--chunk-size", "300", "--retry-for", "1s", broker=fleet)

    assert result.returncode == 1
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert line.startswith(f"Error: planning: source {proxy.url}: not today; given up after 1.0 s (--retry-for)")
    record = record_of(ends)
    assert record is not None
    assert (record.state, record.planned) == ("stopped", False)
    assert record.error is not None
    assert "not today" in record.error

    proxy.reply = lambda _path, _request: None
    again = qmig("qdrant", *ends.through(proxy.url), broker=fleet)
    assert again.returncode == 0, again.stderr
    assert arrived(ends)


def test_a_source_that_answers_when_its_points_are_indexed_is_planned(ends: Ends, migrate: Run) -> None:
    """Qdrant 1.19.0 fails at every sample of such a collection."""
    optimizers = api.OptimizersConfigDiff(prevent_unoptimized=True, indexing_threshold=100, default_segment_number=2)
    create(ends.source, ends.source_name, dense_params(64), optimizers_config=optimizers)
    fill(ends.source, ends.source_name, simple_points(6000, size=64))
    until(lambda: not info(ends.source, ends.source_name).update_queue.deferred_points, "every point being indexed")
    until(lambda: info(ends.source, ends.source_name).status == api.Green, "the collection being green")

    result = migrate("-c", "--chunk-size", "1000")

    assert result.returncode == 0, result.stderr
    assert arrived(ends)
    assert len(chunks_of(ends)) > 2
