"""Whatever a row holds, it is converted exactly, or is a reject that names its key, its field and why."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from qdrant_client import grpc as api

from qmig.qdrant.batch import InvalidRow
from qmig.qdrant.passthrough import upsert_request
from qmig.qdrant.payload import from_payload
from qmig.sources.milvus.conversion import Converter
from qmig.sources.milvus.mapping import map_collection
from qmig.sources.milvus.schema import DYNAMIC, TYPES, Collection, Field, Index
from qmig.sources.milvus.settings import Settings
from tests.support.milvus.answers import answer
from tests.support.milvus.cells import ARRAYS, DOCUMENTS, SCALARS, UNFIT, VECTORS, Cell, Kind

KEY = Field("pk", TYPES.Int64, is_key=True)
NULL = object()


def converter(*fields: Field, **settings: Any) -> Converter:
    return Converter(map_collection(Collection("mine", (KEY, *fields)), Settings(**settings)))


def strict(value: Any) -> Any:
    """A value that equals another only if types and signs are the same too."""
    if isinstance(value, Mapping):
        return {key: strict(member) for key, member in value.items()}
    if isinstance(value, list):
        return [strict(item) for item in value]
    if isinstance(value, float):
        return ("float", value, math.copysign(1, value))
    return (type(value).__name__, value)


def held(point: bytes) -> dict[str, Any]:
    """A point's payload and vectors by name, decoded as deep in a message as in the answer to a scroll."""
    (message,) = api.UpsertPoints.FromString(upsert_request(b"", [point])).points
    found = from_payload(message.payload)
    for name, vector in message.vectors.vectors.vectors.items():
        if vector.HasField("sparse"):
            found[name] = dict(zip(vector.sparse.indices, vector.sparse.values, strict=True))
        else:
            found[name] = list(vector.dense.data)
    return found


Row = dict[str, Cell]


@st.composite
def tables(draw: st.DrawFn, kinds: Sequence[Kind]) -> list[Row]:
    """Rows with a cell of each kind, of which one at most is at fault; some are null."""
    rows = []
    for _ in range(draw(st.integers(1, 4))):
        free = draw(st.sampled_from(kinds))
        cells = {kind.field.name: kind.cells if kind is free else kind.cells.filter(is_fit) for kind in kinds}
        rows.append({name: draw(st.just((None, NULL)) | cell) for name, cell in cells.items()})
    return rows


def is_fit(cell: Cell) -> bool:
    return cell[1] is not UNFIT


def check(kinds: Sequence[Kind], rows: list[Row]) -> None:
    """Convert the rows, and compare each with what its cells say."""
    keys = list(range(1, len(rows) + 1))
    fields = [kind.field for kind in kinds]
    valid = {field.name: [row[field.name][1] is not NULL for row in rows] for field in fields}
    columns = [(field, [row[field.name][0] for row in rows if row[field.name][1] is not NULL]) for field in fields]
    found_keys, points = converter(*fields).points(answer(keys, columns, valid), None)
    assert found_keys == keys
    for key, row, point in zip(keys, rows, points, strict=True):
        unfit = [name for name, cell in row.items() if not is_fit(cell)]
        if unfit:
            assert isinstance(point, InvalidRow)
            assert (point.key, point.point) == (str(key), str(key))
            assert f"'{key}'" in point.reason
            assert any(repr(name) in point.reason for name in unfit)
            assert "\n" not in point.reason
        else:
            assert isinstance(point, bytes), point
            nulls = {field.name: None for field in fields if not field.is_vector}
            values = {name: value for name, (_, value) in row.items() if value is not NULL}
            assert strict(held(point)) == strict({"pk": key, **nulls, **values})


@pytest.mark.parametrize("kinds", [SCALARS, ARRAYS, VECTORS], ids=["scalars", "arrays", "vectors"])
@given(data=st.data())
@settings(max_examples=40, suppress_health_check=list(HealthCheck))
def test_a_row_is_held_exactly_or_is_a_reject(kinds: Sequence[Kind], data: Any) -> None:
    check(kinds, data.draw(tables(kinds)))


@pytest.mark.parametrize("kind", [*SCALARS, *ARRAYS, *VECTORS], ids=lambda kind: kind.field.type_name)
@given(data=st.data())
@settings(max_examples=25, suppress_health_check=list(HealthCheck))
def test_a_column_is_held_exactly_or_its_rows_are_rejects(kind: Kind, data: Any) -> None:
    name = kind.field.name
    check([kind], [{name: cell} for cell in data.draw(st.lists(kind.cells, min_size=1, max_size=5))])


@given(documents=st.lists(DOCUMENTS, min_size=1, max_size=4))
def test_a_dynamic_row_is_held_exactly_or_is_a_reject(documents: list[Cell]) -> None:
    dynamic = Field(DYNAMIC, TYPES.JSON, is_dynamic=True)
    keys = list(range(len(documents)))
    texts = [b'{"inner": %s}' % text for text, _ in documents]
    _, points = converter(dynamic).points(answer(keys, [(dynamic, texts)]), None)
    for key, (_, value), point in zip(keys, documents, points, strict=True):
        if value is UNFIT:
            assert isinstance(point, InvalidRow)
            assert "'$meta'" in point.reason
            assert "--skip-field '$meta'" in point.reason
        else:
            assert isinstance(point, bytes), point
            assert strict(held(point)) == strict({"pk": key, "inner": value})


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (b"[" * 49 + b"]" * 49, None),
        (b"[" * 49 + b"1" + b"]" * 49, "nested 49 deep"),
        (b'{"a":' * 33 + b"1" + b"}" * 33, "nested 33 deep"),
        (b"[" * 127 + b"]" * 127, "nested 127 deep"),
        (b"[" * 230 + b"]" * 230, "nested 230 deep"),
        (b'{"a":' * 500 + b"1" + b"}" * 500, "nested 500 deep"),
        (b"[" * 5000 + b"]" * 5000, "nested 5000 deep"),
        (b"18446744073709551615", "18446744073709551615"),
        (b'{"a": 1, "a": 2}', "'a' twice"),
        (b"1e999", "1e999"),
    ],
    ids=str,
)
def test_the_reason_names_what_is_at_fault(document: bytes, reason: str | None) -> None:
    field = Field("my json", TYPES.JSON)
    _, (point,) = converter(field).points(answer([7], [(field, [document])]), None)
    if reason is None:
        assert isinstance(point, bytes)
        return
    assert isinstance(point, InvalidRow)
    assert reason in point.reason
    assert "'7'" in point.reason
    assert "--skip-field 'my json'" in point.reason


def test_a_vector_that_cosine_would_make_zero_is_a_reject() -> None:
    """Qdrant 1.19.0 normalises with the float32 of the length, which is infinite from 1.8e19 on."""
    field = Field("v", TYPES.FloatVector, params={"dim": "2"}, indexes=(Index("FLAT", "COSINE"),))
    cells = [b"\0\0\x80\x3f" * 2, b"\x00\x00\x80\x5f" * 2, b"\0\0\x80\x5e" * 2]
    _, points = converter(field).points(answer([1, 2, 3], [(field, cells)]), None)
    assert [isinstance(point, InvalidRow) for point in points] == [False, True, False]
    assert isinstance(points[1], InvalidRow)
    assert "cosine" in points[1].reason


def test_a_key_that_is_no_text_is_a_reject() -> None:
    key = Field("pk", TYPES.VarChar, is_key=True)
    raw = answer([], [(key, [b"\xff", b"a"])])
    del raw.fields_data[0]
    made = Converter(map_collection(Collection("mine", (key,)), Settings()))
    _, (refused, copied) = made.points(raw, None)
    assert isinstance(copied, bytes)
    assert isinstance(refused, InvalidRow)
    assert refused.key == "\\xff"
    assert "not UTF-8" in refused.reason
    assert "--skip-field" not in refused.reason
