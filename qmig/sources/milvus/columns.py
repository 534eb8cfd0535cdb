"""Convert columns of scalar fields to payload entries, one for each row."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from qmig.formatting import command_option
from qmig.qdrant.encoding import (
    FIELD_1,
    FIELD_2,
    NULL,
    PAYLOAD,
    STRING,
    length_delimited,
    list_value,
    payload_entry,
    struct_value,
    varint,
)
from qmig.qdrant.json_values import UnfitValueError, json_value, parse_json, shorten
from qmig.sources.milvus.rows import Rows, convert_column, skipping, spread
from qmig.sources.milvus.schema import DYNAMIC, TEXTS, Field
from qmig.sources.milvus.values import Arrays, cells_of_field


class Prefixes(dict[int, bytes]):
    """The bytes before a value of the given length under one payload key; `tag` begins the value itself."""

    def __init__(self, name: str, tag: bytes = b"") -> None:
        self._name = length_delimited(FIELD_1, name.encode())
        self._tag = tag

    def __missing__(self, length: int) -> bytes:
        before = self._tag
        if self._tag == STRING:
            before += varint(length)
        value = len(before) + length
        head = self._name + FIELD_2 + varint(value)
        self[length] = found = PAYLOAD + varint(len(head) + value) + head + before
        return found

    def null(self) -> bytes:
        """The whole entry of a null."""
        return Prefixes.__missing__(self, len(NULL)) + NULL


@dataclass(frozen=True)
class PayloadColumn:
    """The entries of one payload key."""

    #: The payload key.
    name: str
    #: Its entry in each row.
    entries: list[bytes]
    #: The entry of a null.
    null: bytes
    #: What helps if the dynamic field has this key too.
    way_out: str


class ScalarColumn:
    """A field of the payload under `name`."""

    def __init__(self, field: Field, name: str) -> None:
        self.field = field
        self.name = name
        self._cells = cells_of_field(field)
        self._prefixes = Prefixes(name, STRING if field.type in TEXTS else b"")
        self._null = Prefixes(name).null()

    def column(self, data: Any, rows: Rows) -> PayloadColumn:
        """Convert the field's column."""
        name, cells, prefixes = self.field.name, self._cells, self._prefixes
        way_out = "" if self.field.is_key else skipping(name)
        values = convert_column(
            cells.read(data.scalars), cells.encode, cells.encode_one, data.valid_data, rows, name, way_out
        )
        found = [prefixes[len(value)] + value for value in values]
        found = spread(found, data.valid_data, rows, self._null, name)
        return PayloadColumn(self.name, found, self._null, _clash_way_out(self.field))


class DynamicColumn:
    """The dynamic field, whose keys go to the top level of the payload."""

    def __init__(self, field: Field) -> None:
        self.field = field

    def entries(self, data: Any, rows: Rows, columns: Sequence[PayloadColumn]) -> list[bytes]:
        """Return the payload entries of each row, joined.

        A dynamic key may have the name of a field that the schema got later. Where that field is null, the dynamic
        value is the field's: its null is taken out of `columns`. Where the row has both, it is refused.
        """
        name, way_out = self.field.name, skipping(self.field.name)
        texts = spread(list(data.scalars.json_data.data), data.valid_data, rows, b"", name)
        by_name = {column.name: column for column in columns}
        return [
            b""
            if text in (b"{}", b"")
            else rows.convert(row, name, partial(_dynamic_entries, row, rows, by_name), text, way_out)
            for row, text in enumerate(texts)
        ]


class StructColumn:
    """An array of structs as a list of objects, without their vectors."""

    def __init__(self, field: Field, members: Sequence[Field], name: str) -> None:
        self.field = field
        self.name = name
        self._members = {member.name: Arrays(member.element_type) for member in members}
        self._prefixes = Prefixes(name)

    def column(self, data: Any, rows: Rows) -> PayloadColumn:
        """Convert the field's column."""
        cells_by_member: dict[str, Sequence[Any]] = {}
        valid: Sequence[bool] = data.valid_data
        for partition in data.struct_arrays.fields:
            name = member_name(partition.field_name, self.field.name)
            if name in self._members:
                cells_by_member[name] = self._members[name].read(partition.scalars)
                valid = valid or partition.valid_data

        def encode(cells: Sequence[Any]) -> bytes:
            value = self._value(dict(zip(cells_by_member, cells, strict=True)))
            return self._prefixes[len(value)] + value

        found = convert_column(
            list(zip(*cells_by_member.values(), strict=True)),
            lambda rows_of_cells: [encode(cells) for cells in rows_of_cells],
            encode,
            valid,
            rows,
            self.field.name,
            skipping(self.field.name),
        )
        null = self._prefixes.null()
        found = spread(found, valid, rows, null, self.field.name)
        return PayloadColumn(self.name, found, null, _clash_way_out(self.field))

    def _value(self, cells: Mapping[str, Any]) -> bytes:
        """Encode one row: a list of objects, from the lists of their members."""
        names = [name.encode() for name in cells]
        lists = [self._members[name].items(cell) for name, cell in cells.items()]
        return list_value(struct_value(zip(names, values, strict=True)) for values in zip(*lists, strict=True))


def member_name(name: str, struct: str) -> str:
    """The own name of a struct's member, which some servers call `struct[member]`."""
    return name.removeprefix(f"{struct}[").removesuffix("]") if name.startswith(f"{struct}[") else name


def _dynamic_entries(row: int, rows: Rows, columns: Mapping[str, PayloadColumn], text: bytes) -> bytes:
    value = parse_json(text)
    if value is None:
        return b""
    if not isinstance(value, dict):
        raise UnfitValueError(f"{shorten(value)}, which is no JSON object")
    entries = []
    taken: list[PayloadColumn] = []
    for name, member in value.items():
        if column := columns.get(name):
            taken.append(column)
        try:
            entries.append(payload_entry(name, json_value(member)))
        except UnfitValueError as error:
            raise UnfitValueError(f"under {shorten(name)} {error}") from None
    for column in taken:
        if column.entries[row] not in (column.null, b""):
            held = f"a value under {column.name!r}, and so does another field that has this payload key"
            rows.refuse(row, DYNAMIC, held, column.way_out)
    for column in taken:
        column.entries[row] = b""
    return b"".join(entries)


def _clash_way_out(field: Field) -> str:
    """What helps if a field's payload key is a key of the dynamic field too."""
    if field.is_key:
        return ", or give the primary key another payload key with --id-field"
    return (
        f", or leave one of them out: {command_option('--skip-field', field.name)} or "
        f"{command_option('--skip-field', DYNAMIC)}"
    )
