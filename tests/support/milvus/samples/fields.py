"""Fields beside the key and the vectors: scalars, JSON, arrays, dynamic ones, NULL and defaults."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from pymilvus import DataType

from tests.support.milvus.samples.sample import (
    ALL,
    BEYOND_DOUBLE,
    LITE,
    MAX_INT64,
    MIN_INT64,
    NASTY_TEXT,
    OLDER_LITE,
    STANDALONE,
    VECTOR,
    Field,
    Row,
    Sample,
    beside_a_vector,
    float32,
)

SCALARS = (
    Field("bool", DataType.BOOL),
    Field("int8", DataType.INT8),
    Field("int16", DataType.INT16),
    Field("int32", DataType.INT32),
    Field("int64", DataType.INT64),
    Field("float", DataType.FLOAT),
    Field("double", DataType.DOUBLE),
    Field("varchar", DataType.VARCHAR, None, {"max_length": 65535}),
)


def _with(fields: Sequence[Field], **params: Any) -> list[Field]:
    return [Field(each.name, each.type, each.index, {**each.params, **params}) for each in fields]


def _row_of_scalars(*values: Any) -> Row:
    return dict(zip((each.name for each in SCALARS), values, strict=True))


LEAST = _row_of_scalars(True, -(2**7), -(2**15), -(2**31), MIN_INT64, float32(0.1), 0.1, NASTY_TEXT)
GREATEST = _row_of_scalars(
    False, 2**7 - 1, 2**15 - 1, 2**31 - 1, MAX_INT64, float32(3.4e38), 1.7976931348623157e308, "é" * 32767
)
SMALL = _row_of_scalars(True, 0, 0, 0, BEYOND_DOUBLE, 2.0**-149, 5e-324, "")


def scalars() -> Sample:
    """Extremes of every scalar type, 64 KB of text among them."""
    return beside_a_vector("scalars", ALL, SCALARS, [LEAST, GREATEST, SMALL])


def not_numbers() -> Sample:
    """NaN, infinities and the negative zero in FLOAT and DOUBLE."""
    fields = [Field("float", DataType.FLOAT), Field("double", DataType.DOUBLE)]
    values = [math.nan, math.inf, -math.inf, -0.0]
    return beside_a_vector("not_numbers", ALL, fields, [{"float": value, "double": value} for value in values])


JSON_OBJECT: Row = {
    "text": NASTY_TEXT,
    "list": [1, 2.5, None, True, {"deep": [[]]}],
    "nested": {"a": {"b": {"c": BEYOND_DOUBLE}}},
    "beyond": BEYOND_DOUBLE,
    "least": MIN_INT64,
    "greatest": MAX_INT64,
    "float": 1.0,
    "tiny": 5e-324,
    "null": None,
    "": "no name",
    'a "quoted" k.e.y': 1,
}
JSON = Field("json", DataType.JSON)


def json_objects() -> Sample:
    return beside_a_vector("json_objects", ALL, [JSON], [{"json": JSON_OBJECT}, {"json": {}}])


def json_unsigned() -> Sample:
    """An integer that no signed 64-bit number holds."""
    return beside_a_vector("json_unsigned", ALL, [JSON], [{"json": {"unsigned": 2**64 - 1}}])


def json_lists() -> Sample:
    lists: list[Any] = [[1, "two", [3.0, {}], None, BEYOND_DOUBLE], []]
    return beside_a_vector("json_lists", frozenset({LITE, OLDER_LITE}), [JSON], [{"json": each} for each in lists])


def json_scalars() -> Sample:
    """pymilvus takes text as JSON, so a string is inserted in its quotes."""
    values: list[Any] = ["text", "", 7, BEYOND_DOUBLE, 2.5, True, False]
    rows = [{"json": json.dumps(value) if isinstance(value, str) else value} for value in values]
    expected = [{"id": number, "vector": VECTOR, "json": value} for number, value in enumerate(values)]
    return beside_a_vector("json_scalars", frozenset({OLDER_LITE}), [JSON], rows, expected=expected)


def json_null() -> Sample:
    """JSON's own null, in a field that cannot be NULL."""
    servers = frozenset({OLDER_LITE, STANDALONE})
    expected = [{"id": 0, "vector": VECTOR, "json": None}]
    return beside_a_vector("json_null", servers, [JSON], [{"json": "null"}], expected=expected)


ARRAYS: Mapping[DataType, list[Any]] = {
    DataType.BOOL: [True, False],
    DataType.INT8: [-(2**7), 2**7 - 1],
    DataType.INT16: [-(2**15), 2**15 - 1],
    DataType.INT32: [-(2**31), 2**31 - 1],
    DataType.INT64: [MIN_INT64, BEYOND_DOUBLE, MAX_INT64],
    DataType.FLOAT: [float32(0.1), -0.0],
    DataType.DOUBLE: [0.1, 1e300],
    DataType.VARCHAR: ["", NASTY_TEXT],
}


def _array(element: DataType, **params: Any) -> Field:
    length = {"max_length": 200} if element is DataType.VARCHAR else {}
    name = f"of_{element.name.lower()}"
    return Field(name, DataType.ARRAY, None, {"element_type": element, "max_capacity": 8, **length, **params})


def arrays() -> Sample:
    """An array of every element type, and empty ones."""
    fields = [_array(element) for element in ARRAYS]
    values = [{each.name: elements for each, elements in zip(fields, ARRAYS.values(), strict=True)}]
    return beside_a_vector("arrays", ALL, fields, [*values, {each.name: [] for each in fields}])


def dynamic_fields() -> Sample:
    """Fields that the schema does not know; a row with none; a name with a dot; NULL."""
    extras: list[Row] = [
        {"text": NASTY_TEXT, "beyond": BEYOND_DOUBLE, "nested": JSON_OBJECT, "k.e.y": 1, "none": None}
    ]
    rows = [
        {"known": number, **extra} for number, extra in enumerate([*extras, {}, {"float": 1.0, "list": [1, "a"]}])
    ]
    return beside_a_vector("dynamic_fields", ALL, [Field("known", DataType.INT64)], rows, dynamic=True)


def nulls() -> Sample:
    """Every scalar type, JSON and an array: given, NULL, and left out."""
    fields = _with([*SCALARS, JSON, _array(DataType.INT64)], nullable=True)
    given = {**LEAST, "json": JSON_OBJECT, "of_int64": [1]}
    null = dict.fromkeys(given)
    return beside_a_vector(
        "nulls",
        frozenset({LITE}),
        fields,
        [given, null, {}, {**null, "varchar": "", "json": {}, "of_int64": []}],
        expected=[
            {"id": 0, "vector": VECTOR, **given},
            {"id": 1, "vector": VECTOR, **null},
            {"id": 2, "vector": VECTOR, **null},
            {"id": 3, "vector": VECTOR, **null, "varchar": "", "json": {}, "of_int64": []},
        ],
    )


DEFAULTS = _row_of_scalars(True, -8, -16, -32, -64, 0.5, 0.25, "by default")


def _defaults(name: str, servers: frozenset[str], names: Sequence[str], nullable: bool) -> Sample:
    fields = [
        Field(each.name, each.type, None, {**each.params, "default_value": DEFAULTS[each.name], "nullable": nullable})
        for each in SCALARS
        if each.name in names
    ]
    given = {each.name: LEAST[each.name] for each in fields}
    filled = {each.name: DEFAULTS[each.name] for each in fields}
    rows: list[Row] = [given, {}, {}]
    expected = [given, filled, filled]
    if nullable:
        rows.append(dict.fromkeys(given))
        expected.append(filled)
    return beside_a_vector(
        name,
        servers,
        fields,
        rows,
        expected=[{"id": number, "vector": VECTOR, **row} for number, row in enumerate(expected)],
    )


def defaults() -> Sample:
    """Default values: given, and left out."""
    names = [each.name for each in SCALARS if each.name not in {"int8", "int16", "int32"}]
    return _defaults("defaults", frozenset({LITE, STANDALONE}), names, nullable=False)


def defaults_of_nullable() -> Sample:
    """Of every scalar type, where NULL is allowed, too: the server puts the default in its place."""
    return _defaults("defaults_of_nullable", frozenset({LITE}), [each.name for each in SCALARS], nullable=True)


def geometry() -> Sample:
    shapes = ["POINT (1 2)", "POLYGON ((0 0, 10 0, 10 10, 0 10, 0 0))", None]
    shape = Field("shape", DataType.GEOMETRY, None, {"nullable": True})
    return beside_a_vector("geometry", frozenset({LITE}), [shape], [{"shape": each} for each in shapes])


def timestamptz() -> Sample:
    """Whatever zone a time was given in, it comes back in UTC."""
    times = ["2025-01-02T03:04:05.678901+08:00", "1960-01-01T00:00:00Z"]
    expected = ["2025-01-01T19:04:05.678901Z", "1960-01-01T00:00:00Z"]
    return beside_a_vector(
        "timestamptz",
        frozenset({LITE}),
        [Field("time", DataType.TIMESTAMPTZ)],
        [{"time": each} for each in times],
        expected=[{"id": number, "vector": VECTOR, "time": each} for number, each in enumerate(expected)],
    )


FIELDS: tuple[Sample, ...] = (
    scalars(),
    not_numbers(),
    json_objects(),
    json_unsigned(),
    json_lists(),
    json_scalars(),
    json_null(),
    arrays(),
    dynamic_fields(),
    nulls(),
    defaults(),
    defaults_of_nullable(),
    geometry(),
    timestamptz(),
)
