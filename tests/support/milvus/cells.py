"""Cells of every type of a Milvus field, at and beyond every limit, each with what a point should hold of it.

A cell is a pair: what Milvus returns, and the exact value in Qdrant, or `UNFIT` where a point cannot hold it.
"""

import json
import math
from datetime import UTC, datetime, timedelta
from struct import pack, unpack
from typing import Any, NamedTuple

from hypothesis import strategies as st

from qmig.sources.milvus.schema import TYPES, Field, Index

UNFIT = object()
Cell = tuple[Any, Any]


class Kind(NamedTuple):
    """A field, and the cells that it may have."""

    field: Field
    cells: st.SearchStrategy[Cell]


#: Microseconds from 1970 to the ends of the years 1 and 9999.
FIRST_TIME, LAST_TIME = -62135596800_000000, 253402300799_999999
#: Dimensions of the vectors; a binary vector has eight times as many.
SIZE = 2


def same(value: Any) -> Cell:
    return value, value


def number(value: float) -> Cell:
    return value, value if math.isfinite(value) else UNFIT


def text(data: bytes) -> Cell:
    try:
        return data, data.decode()
    except UnicodeDecodeError:
        return data, UNFIT


def array(cells: list[Cell]) -> Cell:
    wanted = [value for _, value in cells]
    return [cell for cell, _ in cells], UNFIT if UNFIT in wanted else wanted


def time(microseconds: int) -> Cell:
    if not FIRST_TIME <= microseconds <= LAST_TIME:
        return microseconds, UNFIT
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)
    return microseconds, moment.isoformat().replace("+00:00", "Z")


def nested(opening: str, closing: str, depth: int, most: int) -> Cell:
    document = opening * depth + "1" + closing * depth
    return document.encode(), json.loads(document) if depth <= most else UNFIT


def document(value: Any) -> Cell:
    return json.dumps(value, ensure_ascii=False).encode(), value


def vector(numbers: list[float]) -> Cell:
    packed = pack(f"<{len(numbers)}f", *numbers)
    return packed, list(numbers) if all(map(math.isfinite, numbers)) else UNFIT


def float16(packed: bytes) -> Cell:
    numbers = list(unpack(f"<{SIZE}e", packed))
    return packed, numbers if all(map(math.isfinite, numbers)) else UNFIT


def bfloat16(packed: bytes) -> Cell:
    pairs = [packed[start : start + 2] for start in range(0, 2 * SIZE, 2)]
    numbers = [unpack("<f", b"\0\0" + pair)[0] for pair in pairs]
    return packed, numbers if all(map(math.isfinite, numbers)) else UNFIT


def bits(packed: bytes) -> list[float]:
    return [float(byte >> bit & 1) for byte in packed for bit in range(7, -1, -1)]


def sparse(pairs: list[tuple[int, float]]) -> Cell:
    packed = b"".join(pack("<If", *pair) for pair in pairs)
    fits = len({index for index, _ in pairs}) == len(pairs) and all(math.isfinite(value) for _, value in pairs)
    return packed, dict(pairs) if fits else UNFIT


def integers(bits: int) -> st.SearchStrategy[Cell]:
    return st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1).map(same)


TEXTS = st.one_of(st.text(st.characters(exclude_categories=["Cs"])).map(str.encode), st.binary(max_size=6)).map(text)
SINGLES, DOUBLES = st.floats(width=32).map(number), st.floats().map(number)
JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("ab\0 é", max_size=3), inner, max_size=4),
)
#: Documents that no payload can hold.
UNFIT_DOCUMENTS = [
    b"9223372036854775808", b"-9223372036854775809", b"[18446744073709551616]", b"1" * 5000, b"-" + b"9" * 5000,
    b"1e999", b'{"a": -1e999}', b"1e-400", b"NaN", b"[Infinity]", b"-Infinity", b'{"a": 1, "a": 2}',
    b'[{"b": {"a": 1, "b": 1, "a": 1}}]', b'"\xff"', b'{"\xed\xa0\x80": 1}', b'"\\ud800"', b'{"\\udfff": 1}', b"{",
    b'{"a": 1} 2', b"nul", b'"a\0b"', b"\xef\xbb\xbf1", "1".encode("utf-16"), b"[" * 100_000, b'{"a":' * 100_000,
    b"[" * 40 + b"]" * 41, b"[" * 400 + b'"]"' + b"]" * 400,
]  # fmt: skip
DOCUMENTS = st.one_of(
    JSON_VALUES.map(document),
    st.sampled_from(UNFIT_DOCUMENTS).map(lambda data: (data, UNFIT)),
    st.sampled_from([b"-0.0", b"1E5", b"5e-324", b'"\\u00e9\\ud83d\\ude00"', b" [1 , 2.50 ] "]).map(
        lambda data: (data, json.loads(data))
    ),
    st.integers(0, 600).map(lambda depth: nested("[", "]", depth, 48)),
    st.integers(0, 600).map(lambda depth: nested('{"a":', "}", depth, 32)),
)
NUMBERS = st.lists(st.floats(width=32), min_size=SIZE, max_size=SIZE)


def _scalar(name: str, kind: int, cells: st.SearchStrategy[Cell], element: int = 0) -> Kind:
    return Kind(Field(name, kind, element, nullable=True), cells)


def _vector(name: str, kind: int, metric: str, cells: st.SearchStrategy[Cell], size: int = SIZE) -> Kind:
    index = (Index("HNSW", metric),)
    return Kind(Field(name, kind, params={"dim": str(size)}, nullable=True, indexes=index), cells)


NUMBERED = (
    ("int8", TYPES.Int8, integers(8)),
    ("int16", TYPES.Int16, integers(16)),
    ("int32", TYPES.Int32, integers(32)),
    ("int64", TYPES.Int64, integers(64)),
    ("float", TYPES.Float, SINGLES),
    ("double", TYPES.Double, DOUBLES),
    ("bool", TYPES.Bool, st.booleans().map(same)),
    ("varchar", TYPES.VarChar, TEXTS),
)
TIMES = st.integers(-(2**63), 2**63 - 1) | st.sampled_from([FIRST_TIME, FIRST_TIME - 1, LAST_TIME, LAST_TIME + 1])
SCALARS = [
    *(_scalar(name, kind, cells) for name, kind, cells in NUMBERED),
    _scalar("json", TYPES.JSON, DOCUMENTS),
    _scalar("geometry", TYPES.Geometry, TEXTS),
    _scalar("timestamptz", TYPES.Timestamptz, TIMES.map(time)),
]
ARRAYS = [
    _scalar(f"{name}s", TYPES.Array, st.lists(cells, max_size=4).map(array), kind) for name, kind, cells in NUMBERED
]
HALVES, BYTES = st.binary(min_size=2 * SIZE, max_size=2 * SIZE), st.binary(min_size=SIZE, max_size=SIZE)
PAIRS = st.lists(st.tuples(st.integers(0, 2**32 - 1) | st.integers(0, 4), st.floats(width=32)), max_size=5)
VECTORS = [
    _vector("floats", TYPES.FloatVector, "L2", NUMBERS.map(vector)),
    _vector("float16s", TYPES.Float16Vector, "IP", HALVES.map(float16)),
    _vector("bfloat16s", TYPES.BFloat16Vector, "IP", HALVES.map(bfloat16)),
    _vector(
        "int8s", TYPES.Int8Vector, "COSINE", BYTES.map(lambda data: (data, list(map(float, unpack("2b", data)))))
    ),
    _vector("bits", TYPES.BinaryVector, "HAMMING", BYTES.map(lambda data: (data, bits(data))), 8 * SIZE),
    _vector("sparse", TYPES.SparseFloatVector, "IP", PAIRS.map(sparse), 0),
]
