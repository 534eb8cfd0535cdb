"""A small collection in a Milvus: how it is made, what goes in and what has to come out.

A field is left out of a row to have its default or NULL. What is expected holds FLOAT16 and BFLOAT16 vectors as lists
of floats, binary vectors as bytes and sparse ones as dictionaries, whatever pymilvus makes of them.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from pymilvus import CollectionSchema, DataType, Function, MilvusClient

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
    #: The kinds of server that accept the sample.
    servers: frozenset[str]
    fields: tuple[Field, ...]
    #: Rows to insert, for pymilvus.
    rows: tuple[Row, ...]
    #: Rows that have to be read, as plain Python values, in the order of the keys.
    expected: tuple[Row, ...]
    key: Field = field(default_factory=lambda: Field("id", DataType.INT64))
    dynamic: bool = False
    functions: tuple[Function, ...] = ()
    #: Fields of the rows in `expected`.
    output: tuple[str, ...] = ("*",)
    #: Field that holds the name of a row's partition; None without partitions.
    partition_field: str = ""
    #: Whether these servers return `expected` by a fault of their own: no other server is held to it.
    peculiar: bool = False
    #: Further arguments of `create_collection`.
    options: Mapping[str, Any] = field(default_factory=dict)

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


def float32(number: float) -> float:
    """The nearest FLOAT, as a Python float."""
    nearest: float = struct.unpack("<f", struct.pack("<f", number))[0]
    return nearest


def vector_field(name: str = "vector", metric: str = "L2", dim: int = 4) -> Field:
    return Field(name, DataType.FLOAT_VECTOR, {"index_type": "FLAT", "metric_type": metric}, {"dim": dim})


def beside_a_vector(
    name: str, servers: frozenset[str], fields: Sequence[Field], rows: Sequence[Row], **others: Any
) -> Sample:
    """Fields beside one dense vector; rows are numbered, and come back unchanged unless `expected` says otherwise."""
    full = [{"id": number, "vector": VECTOR, **row} for number, row in enumerate(rows)]
    expected = tuple(others.pop("expected", full))
    return Sample(name, servers, (vector_field(), *fields), tuple(full), expected, **others)
