"""Reading ranges from a server that returns any rows, refuses large answers, and stores repeated keys."""

import random
import re
from collections.abc import Callable
from itertools import islice
from typing import Any, cast

import pytest
from qdrant_client import grpc as api

from qmig.errors import TerminalError
from qmig.sources.milvus.connection import MilvusConnection, ResultTooLargeError
from qmig.sources.milvus.conversion import Converter
from qmig.sources.milvus.keys import MAX_INT64, Int64Keys
from qmig.sources.milvus.mapping import map_collection
from qmig.sources.milvus.messages import RawQueryResults, milvus, schema
from qmig.sources.milvus.ranges import RangeReader
from qmig.sources.milvus.requests import Requests
from qmig.sources.milvus.schema import TYPES, Collection, Field, Index
from qmig.sources.milvus.settings import Settings

COLLECTION = Collection(
    "numbers",
    (
        Field("pk", TYPES.Int64, is_key=True),
        Field("v", TYPES.FloatVector, params={"dim": "2"}, indexes=(Index("FLAT", "L2"),)),
    ),
)
BOUNDS = re.compile(r"pk (>=|<|<=) (-?\d+)")


class FakeCall:
    def __init__(self, answer: Callable[[], bytes]) -> None:
        self._answer = answer

    def wait(self, seconds: float) -> bool:  # noqa: ARG002
        return True

    def result(self) -> bytes:
        return self._answer()


class FakeServer:
    """Rows with these keys, repeats too. `ordered` gives the smallest first, as real servers do."""

    def __init__(self, keys: list[int], ordered: bool, most: int = 16_384, rows_of_an_answer: int = 10**9) -> None:
        self.keys = keys
        self.most = most
        self.rows_of_an_answer = rows_of_an_answer
        self.limits: list[int] = []
        self._random = None if ordered else random.Random(7)

    def start_query(self, request: milvus.QueryRequest) -> FakeCall:
        return FakeCall(lambda: self.answer(request))

    def query(self, request: milvus.QueryRequest) -> Any:
        return self.results(self.answer(request))

    def results(self, answer: bytes) -> Any:
        return RawQueryResults.FromString(answer)

    def answer(self, request: milvus.QueryRequest) -> bytes:
        found = self._within(request.expr)
        if list(request.output_fields) == ["count(*)"]:
            return self._answer("count(*)", [len(found)], [])
        limit = int(request.query_params[0].value)
        if limit > self.most:
            raise ResultTooLargeError("(offset+limit) should be in range [1, 50]: query result window")
        if self._random:
            self._random.shuffle(found)
        else:
            found.sort()
        # A real server reads this number of rows and returns each key once.
        given = list(dict.fromkeys(found[:limit]))
        whole = "v" in request.output_fields
        if whole and len(given) > self.rows_of_an_answer:
            raise ResultTooLargeError("RESOURCE_EXHAUSTED")
        self.limits.append(len(given))
        return self._answer("pk", given, [float(key % 1000) for key in given for _ in range(2)] if whole else [])

    def _within(self, expression: str) -> list[int]:
        low, high = -(2**63), 2**63
        for sign, bound in BOUNDS.findall(expression):
            if sign == ">=":
                low = int(bound)
            else:
                high = int(bound) + (sign == "<=")
        return [key for key in self.keys if low <= key < high]

    def _answer(self, name: str, numbers: list[int], floats: list[float]) -> bytes:
        scalars = schema.ScalarField(long_data=schema.LongArray(data=numbers))
        columns = [schema.FieldData(type=TYPES.Int64, field_name=name, scalars=scalars)]
        if floats:
            vectors = schema.VectorField(dim=2, float_vector=schema.FloatArray(data=floats))
            columns.append(schema.FieldData(type=TYPES.FloatVector, field_name="v", vectors=vectors))
        answer: bytes = milvus.QueryResults(fields_data=columns).SerializeToString()
        return answer


def reader(server: FakeServer) -> RangeReader:
    converter = Converter(map_collection(COLLECTION, Settings()))
    requests = Requests("numbers", converter.keys, ["pk", "v"])
    return RangeReader(cast("MilvusConnection", server), requests, converter)


def read_all(server: FakeServer, limit: int, start: int | None = None, end: int | None = None) -> list[int]:
    """The keys in the order in which they come; every batch is of the limit at most, and in order."""
    ranges, found = reader(server), []
    while True:
        batch = ranges.start_read(None, start, end, limit).result()
        points = [api.PointStruct.FromString(point) for point in batch.points]
        keys = [point.payload["pk"].integer_value for point in points]
        assert len(keys) <= limit
        for point, key in zip(points, keys, strict=True):
            assert list(point.vectors.vectors.vectors["v"].dense.data) == [key % 1000] * 2
        found += keys
        if batch.next_key is None:
            return found
        start = int(batch.next_key)


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("limit", [1, 7, 100, 5000])
@pytest.mark.parametrize(("start", "end"), [(None, None), (0, None), (None, 10**6), (-500, 2000), (5, 6)])
def test_every_row_comes_once_and_in_order(ordered: bool, limit: int, start: int | None, end: int | None) -> None:
    keys = [*range(-700, 300), *range(10**6, 10**9, 10**7), -(2**63), 2**63 - 1]
    server = FakeServer(keys, ordered, most=97 if limit < 1000 else 16_384)
    wanted = [key for key in sorted(keys) if (start is None or key >= start) and (end is None or key < end)]
    assert read_all(server, limit, start, end) == wanted


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("repeats", [2, 5, 40])
def test_repeats_of_keys_hide_no_other_key(ordered: bool, repeats: int) -> None:
    keys = [key for key in range(500) for _ in range(repeats)]
    server = FakeServer(keys, ordered, most=64)
    assert read_all(server, 30) == list(range(500))
    ranges = reader(server)
    assert sum(page.counted - len(page.keys) for page in ranges.pages(None, None, None)) == 500 * (repeats - 1)


def test_an_answer_that_is_too_large_is_asked_for_in_halves() -> None:
    server = FakeServer(list(range(1000)), ordered=False, rows_of_an_answer=40)
    assert read_all(server, 200) == list(range(1000))


def test_a_row_that_is_too_large_is_named() -> None:
    ranges = reader(FakeServer([0, 1], ordered=True, rows_of_an_answer=0))
    first = ranges.start_read(None, None, None, 10).result()
    assert (first.points, first.next_key) == ([], "1")
    last = ranges.start_read(None, 1, None, 10).result()
    assert (last.points, last.next_key) == ([], None)
    invalid_rows = [*first.invalid_rows, *last.invalid_rows]
    assert [(row.key, row.point) for row in invalid_rows] == [("0", "0"), ("1", "1")]
    assert all("it cannot be read" in row.reason for row in invalid_rows)


def test_keys_beyond_the_range_are_an_error() -> None:
    server = FakeServer(list(range(100)), ordered=True)
    server._within = lambda expression: list(server.keys)  # type: ignore[method-assign] # noqa: ARG005
    with pytest.raises(TerminalError, match="'0', which is not in the range"):
        read_all(server, 10, start=50)


def test_an_empty_collection() -> None:
    assert read_all(FakeServer([], ordered=True), 10) == []


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("every", [7, 50, 1000])
def test_keys_at_which_no_range_may_be_cut_hide_no_other(
    ordered: bool, every: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As keys with line breaks are: a page then ends before keys that were in the answer."""
    monkeypatch.setattr(Int64Keys, "is_safe", lambda _, key: key % every == 0)
    keys = list(range(500))
    pages = reader(FakeServer(keys, ordered, most=64)).pages(None, None, None)
    assert [key for page in pages for key in page.keys] == keys
    assert read_all(FakeServer(keys, ordered, most=64), 64) == keys


@pytest.mark.parametrize("ordered", [True, False])
def test_a_full_answer_that_ends_with_the_largest_key_of_all_is_the_last(ordered: bool) -> None:
    keys = list(range(MAX_INT64 - 63, MAX_INT64 + 1))
    ranges = reader(FakeServer(keys, ordered, most=len(keys)))
    pages = list(islice(ranges.pages(None, keys[0], None), 5))
    assert [key for page in pages for key in page.keys] == keys
    assert read_all(FakeServer(keys, ordered, most=len(keys)), 30) == keys
