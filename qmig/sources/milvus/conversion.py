"""Convert the columns of an answer to serialized `PointStruct`s: each column adds its bytes to every row."""

from collections.abc import Sequence
from typing import Any

from qmig.errors import TerminalError
from qmig.qdrant.batch import InvalidRow
from qmig.qdrant.encoding import string_value, varint
from qmig.sources.milvus.columns import DynamicColumn, PayloadColumn, Prefixes, ScalarColumn, StructColumn
from qmig.sources.milvus.keys import Key, Keys, keys_of
from qmig.sources.milvus.mapping import FieldMapping, multi_name
from qmig.sources.milvus.rows import Rows
from qmig.sources.milvus.vectors import DenseColumn, MultiColumn, SparseColumn, with_headers

#: `id` of a PointStruct, its number (field 1 of a PointId), and all that stands before a UUID (field 2).
ID, NUMBER, UUID = b"\x0a", b"\x08", b"\x0a\x26\x12\x24"


class Converter:
    """Converts the rows of one collection."""

    def __init__(self, mapping: FieldMapping) -> None:
        key = mapping.collection.key
        names = mapping.payload_names
        self.keys: Keys = keys_of(key)
        self._key_name = key.name
        self._partition_field = mapping.partition_field
        self._payload: list[ScalarColumn | StructColumn] = [
            ScalarColumn(key, mapping.id_field),
            *(ScalarColumn(field, names[field.name]) for field in mapping.payload if not field.is_dynamic),
        ]
        self._dynamic = next((DynamicColumn(field) for field in mapping.payload if field.is_dynamic), None)
        self._vectors: list[DenseColumn | SparseColumn | MultiColumn] = [
            *(DenseColumn(field, field.name, mapping.distance(field.name)) for field in mapping.dense),
            *(SparseColumn(field, field.name) for field in mapping.sparse),
        ]
        for struct in mapping.structs:
            scalars = [member for member in struct.members if not member.is_vector]
            if scalars:
                self._payload.append(StructColumn(struct, scalars, names[struct.name]))
            self._vectors += [
                MultiColumn(struct, member, name := multi_name(struct, member), mapping.distance(name))
                for member in struct.members
                if member.is_vector
            ]

    def key_column(self, results: Any) -> list[Key]:
        """The primary keys of the rows, in the order of the answer."""
        for data in results.fields_data:
            if data.field_name == self._key_name:
                return self.keys.column(data.scalars)
        return []

    def points(self, results: Any, partition: str | None) -> tuple[list[Key], list[bytes | InvalidRow]]:
        """Convert the rows to keys and points, in the order of the answer; InvalidRow for what Qdrant cannot hold."""
        keys = self.key_column(results)
        if not keys:
            return [], []
        rows = Rows(len(keys))
        by_name = {data.field_name: data for data in results.fields_data}
        payload = [column.column(self._column(by_name, column.field.name), rows) for column in self._payload]
        if self._partition_field is not None and partition is not None:
            payload.append(_partition_column(self._partition_field, partition, rows))
        columns = [self._ids(keys)]
        if self._dynamic is not None:
            columns.append(self._dynamic.entries(self._column(by_name, self._dynamic.field.name), rows, payload))
        columns += [column.entries for column in payload]
        vectors = [column.entries(self._column(by_name, column.field.name), rows) for column in self._vectors]
        columns.append(with_headers(vectors, rows.count))
        points: list[bytes | InvalidRow] = list(map(b"".join, zip(*columns, strict=True)))
        for row, reason in rows.invalid.items():
            points[row] = self.invalid_row(keys[row], reason)
        return keys, points

    def invalid_row(self, key: Key, reason: str) -> InvalidRow:
        """The row with this key as one that cannot become a point."""
        text = self.keys.text(key)
        return InvalidRow(text, self.keys.ids([key])[0], f"the row with key {text!r}: {reason}")

    def _column(self, by_name: dict[str, Any], name: str) -> Any:
        if name not in by_name:
            raise TerminalError(f"the source's answer lacks the field {name!r}; its answer cannot be read")
        return by_name[name]

    def _ids(self, keys: Sequence[Key]) -> list[bytes]:
        """Encode the point ids of the keys, each as the first field of its point."""
        found = []
        for text in self.keys.ids(keys):
            if len(text) == 36:
                found.append(UUID + text.encode())
            else:
                number = NUMBER + varint(int(text))
                found.append(ID + varint(len(number)) + number)
        return found


def _partition_column(name: str, partition: str, rows: Rows) -> PayloadColumn:
    """The name of the partition, in each row."""
    value = string_value(partition.encode())
    entry = Prefixes(name)[len(value)] + value
    way_out = ", or give the partition's name another payload key with --partition-field"
    return PayloadColumn(name, [entry] * rows.count, b"", way_out)
