"""Convert columns of scalar fields to payload entries, one for each row.

Values whose bytes are the same in Milvus and in Qdrant are copied without decoding them.
"""

import re
from array import array
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import compress
from math import isfinite
from typing import Any

from qmig.errors import TerminalError
from qmig.qdrant.encoding import (
    BOOLS,
    DOUBLE,
    FIELD_1,
    FIELD_2,
    INTEGER,
    NULL,
    PAYLOAD,
    STRING,
    json_value,
    length_delimited,
    list_value,
    parse_json,
    payload_entry,
    struct_value,
    varint,
)
from qmig.sources.milvus.schema import INTEGERS, TEXTS, TYPES, Field

#: Matches one base-128 number, which ends at its first byte below 128.
VARINT = re.compile(rb"[\x80-\xff]*[\x00-\x7f]", re.DOTALL)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Rows:
    """The rows of one answer."""

    def __init__(self, count: int) -> None:
        self.count = count
        #: Why rows cannot become points, by their place in the answer.
        self.invalid: dict[int, str] = {}

    def refuse(self, row: int, field: str, held: str) -> None:
        """Mark a row as invalid because its field holds what Qdrant cannot."""
        self.invalid.setdefault(
            row,
            f"its field {field!r} holds {held}, and Qdrant cannot; correct or delete the row and give the same "
            f"command again, or leave the field out with --skip-field {field}",
        )


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


class ScalarColumn:
    """A field of the payload under `name`."""

    def __init__(self, field: Field, name: str) -> None:
        self.field = field
        self._values = _values_of(field)
        self._strings = field.type in TEXTS
        self._prefixes = Prefixes(name, STRING if self._strings else b"")
        self._null = Prefixes(name)[len(NULL)] + NULL

    def entries(self, data: Any, rows: Rows) -> list[bytes]:
        """Return the payload entry of each row."""
        prefixes = self._prefixes
        values = data.scalars.string_data.data if self._strings else self._values(self.field, data, rows)
        found = [prefixes[len(value)] + value for value in values]
        return spread(found, data.valid_data, rows, self._null, self.field.name)


class DynamicColumn:
    """The dynamic field, whose keys go to the top level of the payload; `taken` are the keys of other fields."""

    def __init__(self, field: Field, taken: Iterable[str]) -> None:
        self.field = field
        self._taken = frozenset(taken)

    def entries(self, data: Any, rows: Rows) -> list[bytes]:
        """Return the payload entries of each row, joined."""
        found = []
        for row, text in enumerate(data.scalars.json_data.data):
            if text in (b"{}", b""):
                found.append(b"")
                continue
            try:
                found.append(self._entries(parse_json(text)))
            except ValueError as error:
                rows.refuse(row, self.field.name, str(error))
                found.append(b"")
        return spread(found, data.valid_data, rows, b"", self.field.name)

    def _entries(self, value: Any) -> bytes:
        if not isinstance(value, dict):
            raise ValueError(f"{value!r}, which is no JSON object")  # noqa: TRY004
        if clash := self._taken & value.keys():
            name = min(clash)
            raise ValueError(f"a dynamic field {name!r} beside the field {name!r} of the schema")
        return b"".join(payload_entry(name, json_value(member)) for name, member in value.items())


class StructColumn:
    """An array of structs as a list of objects, without their vectors."""

    def __init__(self, field: Field, members: Sequence[Field], name: str) -> None:
        self.field = field
        self._members = {member.name: member for member in members}
        self._prefixes = Prefixes(name)
        self._null = self._prefixes[len(NULL)] + NULL

    def entries(self, data: Any, rows: Rows) -> list[bytes]:
        """Return the payload entry of each row."""
        by_member: dict[bytes, list[list[bytes]]] = {}
        valid: Sequence[bool] = data.valid_data
        for partition in data.struct_arrays.fields:
            name = member_name(partition.field_name, self.field.name)
            if name in self._members:
                by_member[name.encode()] = [
                    _items(self._members[name], cell, rows, row)
                    for row, cell in enumerate(partition.scalars.array_data.data)
                ]
                valid = valid or partition.valid_data
        found = []
        for lists in zip(*by_member.values(), strict=True):
            value = list_value(
                struct_value(zip(by_member, values, strict=True)) for values in zip(*lists, strict=True)
            )
            found.append(self._prefixes[len(value)] + value)
        return spread(found, valid, rows, self._null, self.field.name)


def member_name(name: str, struct: str) -> str:
    """The own name of a struct's member, which some servers call `struct[member]`."""
    return name.removeprefix(f"{struct}[").removesuffix("]") if name.startswith(f"{struct}[") else name


def spread(found: list[bytes], valid: Sequence[bool], rows: Rows, null: bytes, field: str) -> list[bytes]:
    """Put nulls into a column: one entry for each row. In the answer a null's place is missing or holds anything."""
    if valid and len(valid) == rows.count:
        if len(found) == rows.count:
            found = [value if is_valid else null for value, is_valid in zip(found, valid, strict=True)]
        elif len(found) == sum(valid):
            values = iter(found)
            found = [next(values) if is_valid else null for is_valid in valid]
    if len(found) != rows.count:
        raise TerminalError(
            f"the source answered {rows.count} rows with {len(found)} values of the field {field!r}; its answer "
            "cannot be read"
        )
    return found


def _values_of(field: Field) -> Callable[[Field, Any, Rows], Iterable[bytes]]:
    if field.type in INTEGERS:
        return _integers
    kinds: dict[int, Callable[[Field, Any, Rows], Iterable[bytes]]] = {
        TYPES.Bool: _booleans,
        TYPES.Float: _floats,
        TYPES.Double: _floats,
        TYPES.JSON: _json,
        TYPES.Array: _arrays,
        TYPES.Geometry: _texts,
        TYPES.Timestamptz: _texts,
    }
    return kinds.get(field.type, _texts)


def _integers(field: Field, data: Any, _: Rows) -> list[bytes]:
    column = data.scalars.long_data if field.type == TYPES.Int64 else data.scalars.int_data
    return [INTEGER + value for value in VARINT.findall(b"".join(column.data))]


def _booleans(_: Field, data: Any, __: Rows) -> list[bytes]:
    return [BOOLS[value] for value in b"".join(data.scalars.bool_data.data)]


def _floats(field: Field, data: Any, rows: Rows) -> list[bytes]:
    values = _doubles(data.scalars, field.type)
    if not isfinite(sum(values)):
        # Skip nulls, whose places may hold anything.
        valid = data.valid_data if len(data.valid_data) == len(values) else [True] * len(values)
        for row, value in compress(enumerate(values), valid):
            if not isfinite(value):
                rows.refuse(row, field.name, str(value))
    packed = values.tobytes()
    return [DOUBLE + packed[start : start + 8] for start in range(0, len(packed), 8)]


def _doubles(scalars: Any, kind: int) -> "array[float]":
    """Read a column of floats as doubles, which hold every float32 exactly."""
    if kind == TYPES.Float:
        return array("d", array("f", b"".join(scalars.float_data.data)))
    return array("d", b"".join(scalars.double_data.data))


def _json(field: Field, data: Any, rows: Rows) -> list[bytes]:
    found = []
    for row, text in enumerate(data.scalars.json_data.data):
        try:
            found.append(json_value(parse_json(text)))
        except ValueError as error:
            rows.refuse(row, field.name, str(error))
            found.append(NULL)
    return found


def _arrays(field: Field, data: Any, rows: Rows) -> list[bytes]:
    return [list_value(_items(field, cell, rows, row)) for row, cell in enumerate(data.scalars.array_data.data)]


def _items(field: Field, cell: Any, rows: Rows, row: int) -> list[bytes]:
    """Encode the values in one cell of an array column."""
    kind = field.element_type
    if kind in TEXTS:
        return [length_delimited(STRING, text) for text in cell.string_data.data]
    if kind in INTEGERS:
        column = cell.long_data if kind == TYPES.Int64 else cell.int_data
        return [INTEGER + value for value in VARINT.findall(b"".join(column.data))]
    if kind == TYPES.Bool:
        return [BOOLS[value] for value in b"".join(cell.bool_data.data)]
    values = _doubles(cell, kind)
    if not isfinite(sum(values)) and (wrong := [value for value in values if not isfinite(value)]):
        rows.refuse(row, field.name, str(wrong[0]))
    packed = values.tobytes()
    return [DOUBLE + packed[start : start + 8] for start in range(0, len(packed), 8)]


def _texts(field: Field, data: Any, _: Rows) -> list[bytes]:
    """Encode a field without a payload type of its own as the text that Milvus returns."""
    scalars = data.scalars
    which = scalars.WhichOneof("data")
    if which == "geometry_wkt_data":
        return [length_delimited(STRING, text) for text in scalars.geometry_wkt_data.data]
    if which == "timestamptz_data":
        # Microseconds since the epoch, as signed 64-bit numbers.
        packed = b"".join(scalars.timestamptz_data.data)
        return [length_delimited(STRING, _timestamp(int_of(value))) for value in VARINT.findall(packed)]
    if which == "string_data":
        return [length_delimited(STRING, text) for text in scalars.string_data.data]
    raise TerminalError(
        f"the source gives the field {field.name!r} of type {field.type_name} as {which}, which qmig cannot read; "
        f"leave it out with --skip-field {field.name}"
    )


def int_of(encoded: bytes) -> int:
    """Decode a signed 64-bit number from its base-128 bytes."""
    value = sum((byte & 127) << 7 * place for place, byte in enumerate(encoded))
    return value - 2**64 if value >= 2**63 else value


def _timestamp(microseconds: int) -> bytes:
    moment = EPOCH + timedelta(microseconds=microseconds)
    return moment.isoformat().replace("+00:00", "Z").encode()
