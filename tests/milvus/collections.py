"""Small collections with every type of Milvus, and the rows that a reader has to get out of them.

What each server takes and gives back, found by trying:

====================================  ===================  ==============================  =======================
what                                  Milvus Lite 3.2.2    Milvus Lite 2.5.1               standalone 2.3.5
====================================  ===================  ==============================  =======================
FLOAT_VECTOR COSINE, L2, IP           yes, as inserted     yes, as inserted                yes, as inserted
FLOAT16_VECTOR                        no                   yes                             yes
BFLOAT16_VECTOR                       no                   yes                             no (no index, no load)
BINARY_VECTOR, any metric             no                   yes                             yes
SPARSE_FLOAT_VECTOR                   not empty, no < 0    yes                             no
INT8_VECTOR                           no                   no                              no
TEXT                                  no                   no                              ends the server for good
arrays of structs                     field dropped        field dropped                   field dropped
several vector fields                 yes                  yes                             no
NULL: scalar, JSON, array             yes                  no                              flag silently ignored
NULL: vector                          zeros come back      no                              no
NULL: sparse, in a batch with others  no                   no                              no
default values                        yes                  given only: leaving one out     int64, float, double,
                                                           ends the server or spoils its   bool, varchar; a batch
                                                           data for good                   gives all or none
JSON object                           yes                  yes                             yes
JSON list                             yes                  yes                             no
JSON text, number, bool               no                   yes                             no
JSON null                             no; NULL is kept     yes (None ends the server)      yes
ARRAY of every scalar type            yes                  yes                             yes
dynamic fields, and null in them      yes                  yes                             yes
a key of $meta that is a field, too   hides the field      beside the field                beside the field
NaN, infinity: FLOAT, DOUBLE          yes                  yes                             yes
NaN, infinity: FLOAT_VECTOR           yes                  yes                             no; in FLOAT16_VECTOR
partitions; databases; aliases        yes                  no, no, no                      yes
partition key                         yes, 16 partitions   no filter works then            yes
GEOMETRY, TIMESTAMPTZ                 text; UTC, "…Z"      no                              ends the server for good
BM25: its output can be read          yes, as numbers of   no: the column is missing       no
                                      hashed words
BM25: describe names the function     yes                  no; is_function_output is set   no
enable_match of a VARCHAR             yes                  yes                             kept, without effect
INDEX parameters in describe_index    dropped              yes                             yes
vector index types                    takes any name       FLAT, IVF_FLAT, AUTOINDEX       up to 2.3's, no HNSW_SQ
scalar index types                    INVERTED             INVERTED, Trie; "" picks one    STL_SORT, Trie; "" hides
                                                                                           which
descriptions                          lost                 kept                            kept
no index on the vector                loads                loads                           does not load
a released collection                 error 101            reads on                        error 101
Int64 key 2**63 - 1                   yes                  yes                             counted, not returned
the same key twice                    the last, counted 1  the last, counted as often      the first, counted as often
====================================  ===================  ==============================  =======================

Row types: a field is left out of a row to have its default or NULL. FLOAT16 and BFLOAT16 vectors are lists of floats
here, binary vectors bytes, sparse vectors dictionaries, whatever pymilvus makes of them.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any
from uuid import UUID

import grpc
import numpy as np
from pymilvus import CollectionSchema, DataType, Function, FunctionType, MilvusClient
from pymilvus.grpc_gen import milvus_pb2, milvus_pb2_grpc, schema_pb2

Row = dict[str, Any]

LITE = "lite"
OLDER_LITE = "lite-2.5"
STANDALONE = "standalone"
ALL = frozenset({LITE, OLDER_LITE, STANDALONE})

VECTOR = [1.0, -2.0, 0.5, 3.0]
MAX_INT64 = 2**63 - 1
MIN_INT64 = -(2**63)
BEYOND_DOUBLE = 2**53 + 1
NASTY_TEXT = "quote \" apostrophe ' backslash \\ newline \n tab \t return \r nul \0 control \x01\x7f é 漢字 😀 ﬀ % _"

INT_KEYS = (MIN_INT64, MIN_INT64 + 1, -BEYOND_DOUBLE, -2, -1, 0, 1, BEYOND_DOUBLE, 2**63 - 2)
STRING_KEYS = (
    "",
    " ",
    '"',
    '"quoted"',
    "'",
    "it's",
    "a\\b",
    "\\",
    '\\"',
    "two\nlines",
    "a\tb",
    "a\rb",
    "\x01\x7f",
    "\0",
    "%",
    "_",
    "{x}",
    "é",
    "e\u0301",
    "ﬀ",
    "漢字",
    "😀",
    "0b9c1b3e-7e0f-5a5c-8a4e-1de9e4f2c0aa",
    "0B9C1B3E-7E0F-5A5C-8A4E-1DE9E4F2C0AB",
    str(UUID(int=0)),
    "17",
    "x" * 1000,
)


@dataclass(frozen=True)
class Field:
    """A field beside the key, and the index that it gets; no index where `index` is None."""

    name: str
    type: DataType
    index: Mapping[str, Any] | None = None
    params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Sample:
    """A small collection: how it is made, what goes in and what has to come out."""

    name: str
    servers: frozenset[str]
    """The kinds of server that take it."""
    fields: tuple[Field, ...]
    rows: tuple[Row, ...]
    """What is inserted, for pymilvus."""
    expected: tuple[Row, ...]
    """What has to be read, as plain Python values, in the order of the keys."""
    key: Field = field(default_factory=lambda: Field("id", DataType.INT64))
    dynamic: bool = False
    functions: tuple[Function, ...] = ()
    output: tuple[str, ...] = ("*",)
    """The fields that `expected` has."""
    partition_field: str = ""
    """The field, if any, that holds the name of the partition into which a row goes."""
    peculiar: bool = False
    """What comes back is a fault of these servers, to which no other is held."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Further arguments of create_collection."""

    def schema(self) -> CollectionSchema:
        schema = MilvusClient.create_schema(enable_dynamic_field=self.dynamic)
        schema.add_field(self.key.name, self.key.type, is_primary=True, **self.key.params)
        for each in self.fields:
            schema.add_field(each.name, each.type, **each.params)
        for function in self.functions:
            schema.add_function(function)
        return schema

    def create(self, client: MilvusClient, name: str) -> None:
        """Create it, fill it and load it."""
        indexes = client.prepare_index_params()
        for each in self.fields:
            if each.index is not None:
                indexes.add_index(field_name=each.name, **each.index)
        client.create_collection(
            name, schema=self.schema(), index_params=indexes, consistency_level="Strong", **self.options
        )
        for partition, rows in self._batches():
            if partition != "_default" and partition not in client.list_partitions(name):
                client.create_partition(name, partition)
            client.insert(name, rows, partition_name="" if partition == "_default" else partition)
        client.load_collection(name)

    def _batches(self) -> Iterator[tuple[str, list[Row]]]:
        """Rows of one partition that have the same fields: older servers cannot take others in one insert."""

        def kind(row: Row) -> tuple[str, list[str]]:
            return str(row.get(self.partition_field, "_default")), sorted(row) if not self.dynamic else []

        for (partition, _), rows in groupby(self.rows, kind):
            yield partition, list(rows)

    def read(self, client: MilvusClient, name: str, **options: Any) -> list[Row]:
        """All rows (or those of `partition_names`) as plain values, in the order of the keys."""
        everything = f'{self.key.name} >= ""'
        if self.key.type is DataType.INT64:
            # The least integer has no literal.
            everything = f"{self.key.name} >= 0 or {self.key.name} < 0"
        rows = client.query(
            name,
            filter=everything,
            output_fields=list(self.output),
            limit=1000,
            consistency_level="Strong",
            **options,
        )
        types = {each.name: each.type for each in self.fields}
        plain = [{key: _plain(types.get(key), value) for key, value in row.items()} for row in rows]
        return sorted(plain, key=self.in_order)

    def in_order(self, row: Row) -> Any:
        """A sort key: text by its UTF-8 bytes, as servers compare it."""
        key = row[self.key.name]
        return key.encode() if isinstance(key, str) else key


def exact(rows: Sequence[Row]) -> list[str]:
    """A line a row, the same for the same values of the same types: 1 is not 1.0, True is not 1, NaN is NaN."""
    return [json.dumps(row, sort_keys=True, default=repr, ensure_ascii=False) for row in rows]


def _plain(kind: DataType | None, value: Any) -> Any:
    """pymilvus gives half-precision and binary vectors as a list of one bytes."""
    if value is None:
        return None
    if kind is DataType.FLOAT16_VECTOR:
        (data,) = value
        return list(struct.unpack(f"<{len(data) // 2}e", data))
    if kind is DataType.BFLOAT16_VECTOR:
        (data,) = value
        halves = struct.unpack(f"<{len(data) // 2}H", data)
        return [struct.unpack("<f", struct.pack("<I", half << 16))[0] for half in halves]
    if kind is DataType.BINARY_VECTOR:
        (data,) = value
        return data
    if kind is DataType.FLOAT_VECTOR:
        return [float(number) for number in value]
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str | bytes | list) else value


def bfloat16(numbers: Sequence[float]) -> bytes:
    """As pymilvus takes it; the numbers' lower halves are cut off."""
    return b"".join(struct.pack("<f", number)[2:] for number in numbers)


def float32(number: float) -> float:
    """The nearest FLOAT, as a Python float."""
    nearest: float = struct.unpack("<f", struct.pack("<f", number))[0]
    return nearest


FLAT = {"index_type": "FLAT", "metric_type": "L2"}


def vector_field(name: str = "vector", metric: str = "L2", dim: int = 4) -> Field:
    return Field(name, DataType.FLOAT_VECTOR, {"index_type": "FLAT", "metric_type": metric}, {"dim": dim})


def _beside_a_vector(
    name: str, servers: frozenset[str], fields: Sequence[Field], rows: Sequence[Row], **others: Any
) -> Sample:
    """Fields beside one dense vector; rows are numbered, and come back unchanged unless `expected` says otherwise."""
    full = [{"id": number, "vector": VECTOR, **row} for number, row in enumerate(rows)]
    expected = tuple(others.pop("expected", full))
    return Sample(name, servers, (vector_field(), *fields), tuple(full), expected, **others)


# Vectors


def dense(metric: str) -> Sample:
    rows: tuple[Row, ...] = tuple({"id": number, "vector": [number + 0.5, -1.0, 3.0e-5, 0.0]} for number in range(5))
    expected = tuple({**row, "vector": [float32(number) for number in row["vector"]]} for row in rows)
    return Sample(f"dense_{metric.lower()}", ALL, (vector_field(metric=metric),), rows, expected)


def float16(metric: str = "COSINE") -> Sample:
    vectors = [[0.5, -1.25, 65504.0, 6.0e-8], [0.0, -0.0, 1.0, 2.0]]
    halves = [np.array(vector, dtype=np.float16) for vector in vectors]
    index = {"index_type": "FLAT", "metric_type": metric}
    return Sample(
        f"float16_{metric.lower()}",
        frozenset({OLDER_LITE, STANDALONE}),
        (Field("half", DataType.FLOAT16_VECTOR, index, {"dim": 4}),),
        tuple({"id": number, "half": half} for number, half in enumerate(halves)),
        tuple({"id": number, "half": [float(each) for each in half]} for number, half in enumerate(halves)),
    )


def bfloat16_vectors() -> Sample:
    vectors = [[0.5, -1.25, 2.0**127, 2.0**-126], [0.0, -0.0, 1.0, 2.0]]
    return Sample(
        "bfloat16",
        frozenset({OLDER_LITE}),
        (Field("brain", DataType.BFLOAT16_VECTOR, FLAT, {"dim": 4}),),
        tuple({"id": number, "brain": bfloat16(vector)} for number, vector in enumerate(vectors)),
        tuple({"id": number, "brain": vector} for number, vector in enumerate(vectors)),
    )


def binary(metric: str) -> Sample:
    rows = tuple({"id": number, "bits": bytes([number, 0b10000001, 255])} for number in range(4))
    index = {"index_type": "BIN_FLAT", "metric_type": metric}
    bits = Field("bits", DataType.BINARY_VECTOR, index, {"dim": 24})
    return Sample(f"binary_{metric.lower()}", frozenset({OLDER_LITE, STANDALONE}), (bits,), rows, rows)


SPARSE = {"index_type": "SPARSE_INVERTED_INDEX", "metric_type": "IP"}


def sparse() -> Sample:
    vectors: list[dict[int, float]] = [{0: 0.5, 7: 1.25, 2**32 - 2: 2.0}, {3: 1.0}, {100_000: 0.25, 5: 4.0}]
    rows = tuple({"id": number, "sparse": vector} for number, vector in enumerate(vectors))
    field_ = Field("sparse", DataType.SPARSE_FLOAT_VECTOR, SPARSE)
    return Sample("sparse", frozenset({LITE, OLDER_LITE}), (field_,), rows, rows)


def sparse_odd() -> Sample:
    """No weight at all, a negative one, a zero that is said."""
    field_ = Field("sparse", DataType.SPARSE_FLOAT_VECTOR, SPARSE)
    vectors: list[dict[int, float]] = [{}, {1: -0.5}, {2: 0.0, 3: 1.0}]
    return _beside_a_vector("sparse_odd", frozenset({OLDER_LITE}), [field_], [{"sparse": each} for each in vectors])


def several_vectors() -> Sample:
    """Two dense ones under different metrics, and a sparse one."""
    fields = (
        vector_field("title", "COSINE", 2),
        vector_field("body", "IP", 3),
        Field("words", DataType.SPARSE_FLOAT_VECTOR, SPARSE),
    )
    rows: tuple[Row, ...] = tuple(
        {"id": number, "title": [number, 1.0], "body": [0.5, number, -1.0], "words": {number: 1.5}}
        for number in range(3)
    )
    expected = tuple(
        {**row, "title": [float(each) for each in row["title"]], "body": [float(each) for each in row["body"]]}
        for row in rows
    )
    return Sample("several_vectors", frozenset({LITE, OLDER_LITE}), fields, rows, expected)


def every_vector() -> Sample:
    """A dense, a half-precision, a bfloat16, a binary and a sparse vector in one row."""
    fields = (
        vector_field(metric="COSINE"),
        Field("half", DataType.FLOAT16_VECTOR, FLAT, {"dim": 2}),
        Field("brain", DataType.BFLOAT16_VECTOR, FLAT, {"dim": 2}),
        Field("bits", DataType.BINARY_VECTOR, {"index_type": "BIN_FLAT", "metric_type": "HAMMING"}, {"dim": 16}),
        Field("words", DataType.SPARSE_FLOAT_VECTOR, SPARSE),
    )
    expected: tuple[Row, ...] = tuple(
        {
            "id": number,
            "vector": VECTOR,
            "half": [number + 0.5, -2.0],
            "brain": [-0.5, number * 2.0],
            "bits": bytes([number, 255]),
            "words": {number: 0.5},
        }
        for number in range(3)
    )
    rows = tuple(
        {**row, "half": np.array(row["half"], dtype=np.float16), "brain": bfloat16(row["brain"])} for row in expected
    )
    return Sample("every_vector", frozenset({OLDER_LITE}), fields, rows, expected)


def null_vectors() -> Sample:
    """A vector that is NULL; this server makes zeros of it, and its answer does not tell."""
    maybe = Field("maybe", DataType.FLOAT_VECTOR, FLAT, {"dim": 2, "nullable": True})
    vectors = [[0.5, -1.0], [0.0, 0.0]]
    return _beside_a_vector(
        "null_vectors",
        frozenset({LITE}),
        [maybe],
        [{"maybe": [0.5, -1.0]}, {"maybe": None}],
        expected=[{"id": number, "vector": VECTOR, "maybe": vector} for number, vector in enumerate(vectors)],
        peculiar=True,
    )


def not_numbers_in_a_vector() -> Sample:
    rows = tuple(
        {"id": number, "vector": [value, 1.0, 2.0, 3.0]}
        for number, value in enumerate([math.nan, math.inf, -math.inf])
    )
    servers = frozenset({LITE, OLDER_LITE})
    return Sample("not_numbers_in_a_vector", servers, (vector_field(),), rows, rows)


# Keys


def int_keys() -> Sample:
    """Inserted out of order. 2**63 - 1 is a key, too, that the standalone server counts and never returns."""
    rows = [{"id": key, "vector": VECTOR, "copy": str(key)} for key in INT_KEYS]
    copy = Field("copy", DataType.VARCHAR, None, {"max_length": 30})
    return Sample("int_keys", ALL, (vector_field(), copy), tuple(rows[::2] + rows[1::2]), tuple(rows))


def string_keys() -> Sample:
    """UUIDs in lower and upper case, and all that has ever broken a filter."""
    rows = [{"id": key, "vector": VECTOR, "number": number} for number, key in enumerate(STRING_KEYS)]
    return Sample(
        "string_keys",
        ALL,
        (vector_field(), Field("number", DataType.INT64)),
        tuple(rows),
        tuple(sorted(rows, key=lambda row: str(row["id"]).encode())),
        key=Field("id", DataType.VARCHAR, None, {"max_length": 1000}),
    )


# Scalars

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
    return _beside_a_vector("scalars", ALL, SCALARS, [LEAST, GREATEST, SMALL])


def not_numbers() -> Sample:
    """NaN, infinities and the negative zero in FLOAT and DOUBLE."""
    fields = [Field("float", DataType.FLOAT), Field("double", DataType.DOUBLE)]
    values = [math.nan, math.inf, -math.inf, -0.0]
    return _beside_a_vector("not_numbers", ALL, fields, [{"float": value, "double": value} for value in values])


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
    return _beside_a_vector("json_objects", ALL, [JSON], [{"json": JSON_OBJECT}, {"json": {}}])


def json_unsigned() -> Sample:
    """An integer that no signed 64-bit number holds."""
    return _beside_a_vector("json_unsigned", ALL, [JSON], [{"json": {"unsigned": 2**64 - 1}}])


def json_lists() -> Sample:
    lists: list[Any] = [[1, "two", [3.0, {}], None, BEYOND_DOUBLE], []]
    return _beside_a_vector("json_lists", frozenset({LITE, OLDER_LITE}), [JSON], [{"json": each} for each in lists])


def json_scalars() -> Sample:
    """pymilvus takes text as JSON, so a string is inserted in its quotes."""
    values: list[Any] = ["text", "", 7, BEYOND_DOUBLE, 2.5, True, False]
    rows = [{"json": json.dumps(value) if isinstance(value, str) else value} for value in values]
    expected = [{"id": number, "vector": VECTOR, "json": value} for number, value in enumerate(values)]
    return _beside_a_vector("json_scalars", frozenset({OLDER_LITE}), [JSON], rows, expected=expected)


def json_null() -> Sample:
    """JSON's own null, in a field that cannot be NULL."""
    servers = frozenset({OLDER_LITE, STANDALONE})
    expected = [{"id": 0, "vector": VECTOR, "json": None}]
    return _beside_a_vector("json_null", servers, [JSON], [{"json": "null"}], expected=expected)


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
    return _beside_a_vector("arrays", ALL, fields, [*values, {each.name: [] for each in fields}])


def dynamic_fields() -> Sample:
    """Fields that the schema does not know; a row with none; a name with a dot; NULL."""
    extras: list[Row] = [
        {"text": NASTY_TEXT, "beyond": BEYOND_DOUBLE, "nested": JSON_OBJECT, "k.e.y": 1, "none": None}
    ]
    rows = [
        {"known": number, **extra} for number, extra in enumerate([*extras, {}, {"float": 1.0, "list": [1, "a"]}])
    ]
    return _beside_a_vector("dynamic_fields", ALL, [Field("known", DataType.INT64)], rows, dynamic=True)


def create_clash(client: MilvusClient, url: str, name: str) -> None:
    """A collection with one row, whose field `known` is 1 and whose dynamic field `known` is 99.

    pymilvus makes no such row, so this one is made of messages.
    """
    sample = _beside_a_vector("clash", ALL, [Field("known", DataType.INT64)], [], dynamic=True)
    sample.create(client, name)
    number = schema_pb2.ScalarField(long_data=schema_pb2.LongArray(data=[1]))
    vector = schema_pb2.VectorField(dim=4, float_vector=schema_pb2.FloatArray(data=VECTOR))
    meta = schema_pb2.ScalarField(json_data=schema_pb2.JSONArray(data=[b'{"known": 99, "other": 2}']))
    columns = [
        schema_pb2.FieldData(type=DataType.INT64, field_name="id", scalars=number),
        schema_pb2.FieldData(type=DataType.INT64, field_name="known", scalars=number),
        schema_pb2.FieldData(type=DataType.FLOAT_VECTOR, field_name="vector", vectors=vector),
        schema_pb2.FieldData(type=DataType.JSON, field_name="$meta", scalars=meta, is_dynamic=True),
    ]
    with grpc.insecure_channel(url.removeprefix("http://")) as channel:
        request = milvus_pb2.InsertRequest(collection_name=name, fields_data=columns, num_rows=1)
        answer = milvus_pb2_grpc.MilvusServiceStub(channel).Insert(request)
    assert answer.status.code == 0, answer.status.reason


def nulls() -> Sample:
    """Every scalar type, JSON and an array: given, NULL, and left out."""
    fields = _with([*SCALARS, JSON, _array(DataType.INT64)], nullable=True)
    given = {**LEAST, "json": JSON_OBJECT, "of_int64": [1]}
    null = dict.fromkeys(given)
    return _beside_a_vector(
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
    return _beside_a_vector(
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
    return _beside_a_vector("geometry", frozenset({LITE}), [shape], [{"shape": each} for each in shapes])


def timestamptz() -> Sample:
    """Whatever zone a time was given in, it comes back in UTC."""
    times = ["2025-01-02T03:04:05.678901+08:00", "1960-01-01T00:00:00Z"]
    expected = ["2025-01-01T19:04:05.678901Z", "1960-01-01T00:00:00Z"]
    return _beside_a_vector(
        "timestamptz",
        frozenset({LITE}),
        [Field("time", DataType.TIMESTAMPTZ)],
        [{"time": each} for each in times],
        expected=[{"id": number, "vector": VECTOR, "time": each} for number, each in enumerate(expected)],
    )


# Partitions, indexes, functions


def partitions() -> Sample:
    """Three partitions; `partition` of a row names its own."""
    names = ["_default", "north", "south_2", "north", "_default", "south_2"]
    fields = [Field("partition", DataType.VARCHAR, None, {"max_length": 20})]
    rows = [{"partition": name} for name in names]
    servers = frozenset({LITE, STANDALONE})
    return _beside_a_vector("partitions", servers, fields, rows, partition_field="partition")


def partition_key(kind: DataType) -> Sample:
    length = {"max_length": 20} if kind is DataType.VARCHAR else {}
    tenants: list[Any] = ["a", "b", "é"] if kind is DataType.VARCHAR else [-1, 0, BEYOND_DOUBLE]
    return _beside_a_vector(
        f"partition_key_{kind.name.lower()}",
        frozenset({LITE, STANDALONE}),
        [Field("tenant", kind, None, {"is_partition_key": True, **length})],
        [{"tenant": tenants[number % 3]} for number in range(9)],
        options={"num_partitions": 4},
    )


def scalar_indexes() -> Sample:
    """INVERTED, the one type that both Lite servers know."""
    fields = [
        Field(each.name, each.type, {"index_type": "INVERTED"}, each.params)
        for each in SCALARS
        if each.name in {"bool", "int64", "double", "varchar"}
    ]
    rows = [{each.name: row[each.name] for each in fields} for row in (LEAST, SMALL)]
    return _beside_a_vector("scalar_indexes", frozenset({LITE, OLDER_LITE}), fields, rows)


def scalar_indexes_of_2_3() -> Sample:
    """STL_SORT and Trie."""
    fields = [
        Field("int64", DataType.INT64, {"index_type": "STL_SORT"}),
        Field("varchar", DataType.VARCHAR, {"index_type": "Trie"}, {"max_length": 200}),
    ]
    rows = [{each.name: row[each.name] for each in fields} for row in (LEAST, SMALL)]
    return _beside_a_vector("scalar_indexes_of_2_3", frozenset({STANDALONE}), fields, rows)


def vector_index(index_type: str, **params: int) -> Sample:
    """A dense vector under an index of this type; `describe_index` of Milvus Lite 3.2 drops the parameters."""
    servers = frozenset({LITE, STANDALONE} | ({OLDER_LITE} if index_type in {"IVF_FLAT", "AUTOINDEX"} else set()))
    index = {"index_type": index_type, "metric_type": "L2", "params": params}
    rows = tuple({"id": number, "vector": [float(number), 1.0, 2.0, 3.0]} for number in range(3))
    vector = Field("vector", DataType.FLOAT_VECTOR, index, {"dim": 4})
    return Sample(f"index_{index_type.lower()}", servers, (vector,), rows, rows)


def text_match() -> Sample:
    """A VARCHAR whose words can be matched, or so its parameters say."""
    params = {"max_length": 100, "enable_analyzer": True, "enable_match": True}
    words = Field("text", DataType.VARCHAR, None, params)
    return _beside_a_vector("text_match", ALL, [words], [{"text": "the quick fox"}])


def bm25() -> Sample:
    """A sparse vector that the server makes of a text. What can be read of it differs, and is not expected."""
    fields = [
        Field("text", DataType.VARCHAR, None, {"max_length": 100, "enable_analyzer": True}),
        Field(
            "words",
            DataType.SPARSE_FLOAT_VECTOR,
            {"index_type": "SPARSE_INVERTED_INDEX", "metric_type": "BM25"},
        ),
    ]
    function = Function("bm25", FunctionType.BM25, input_field_names=["text"], output_field_names=["words"])
    return _beside_a_vector(
        "bm25",
        frozenset({LITE, OLDER_LITE}),
        fields,
        [{"text": "the quick fox"}, {"text": "the lazy dog"}],
        functions=(function,),
        output=("id", "vector", "text"),
    )


SAMPLES: tuple[Sample, ...] = (
    *(dense(metric) for metric in ("COSINE", "L2", "IP")),
    *(float16(metric) for metric in ("COSINE", "L2", "IP")),
    bfloat16_vectors(),
    *(binary(metric) for metric in ("HAMMING", "JACCARD")),
    sparse(),
    sparse_odd(),
    several_vectors(),
    every_vector(),
    null_vectors(),
    not_numbers_in_a_vector(),
    int_keys(),
    string_keys(),
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
    partitions(),
    partition_key(DataType.VARCHAR),
    partition_key(DataType.INT64),
    scalar_indexes(),
    scalar_indexes_of_2_3(),
    vector_index("HNSW", M=12, efConstruction=77),
    vector_index("IVF_FLAT", nlist=16),
    vector_index("IVF_SQ8", nlist=16),
    vector_index("IVF_PQ", nlist=16, m=2, nbits=8),
    vector_index("SCANN", nlist=16),
    vector_index("DISKANN"),
    vector_index("AUTOINDEX"),
    text_match(),
    bm25(),
)
BY_NAME: Mapping[str, Sample] = {sample.name: sample for sample in SAMPLES}


def samples_for(kind: str) -> list[Sample]:
    """What a server of this kind takes; a server that is not one of ours may be asked anything."""
    return [sample for sample in SAMPLES if kind in sample.servers or (kind not in ALL and not sample.peculiar)]
