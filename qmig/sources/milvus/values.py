"""Convert the cells of scalar fields to payload values.

Each kind of cell has its own `Cells`. Values whose bytes are the same in Milvus and in Qdrant are copied without
decoding them.
"""

import re
from array import array
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from math import isfinite
from typing import Any, Protocol

from qmig.errors import TerminalError
from qmig.qdrant.encoding import BOOLS, DOUBLE, INTEGER, list_value, string_value
from qmig.qdrant.json_values import UnfitValueError, check_utf8, double_value, json_value, parse_json
from qmig.sources.milvus.rows import skipping
from qmig.sources.milvus.schema import INTEGERS, TEXTS, TYPES, Field

#: Matches one base-128 number, which ends at its first byte below 128.
VARINT = re.compile(rb"[\x80-\xff]*[\x00-\x7f]", re.DOTALL)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Cells(Protocol):
    """Reads the cells of one kind of column, and encodes them."""

    def read(self, scalars: Any) -> Sequence[Any]:
        """The cells of a raw column."""

    def encode(self, cells: Sequence[Any]) -> list[bytes]:
        """Encode all cells; any error where one of them cannot be encoded."""
        return [self.encode_one(cell) for cell in cells]

    def encode_one(self, cell: Any) -> bytes:
        """Encode one cell as a `Value`; UnfitValueError where a payload cannot hold it."""
        raise NotImplementedError


class Integers(Cells):
    """Integers as base-128 numbers, which is how a payload holds them."""

    def __init__(self, kind: int) -> None:
        self._is_long = kind == TYPES.Int64

    def read(self, scalars: Any) -> list[bytes]:
        column = scalars.long_data if self._is_long else scalars.int_data
        return VARINT.findall(b"".join(column.data))

    def encode(self, cells: Sequence[bytes]) -> list[bytes]:
        return [INTEGER + cell for cell in cells]

    def encode_one(self, cell: bytes) -> bytes:
        return INTEGER + cell


class Booleans(Cells):
    """Booleans, one byte each."""

    def read(self, scalars: Any) -> bytes:
        return b"".join(scalars.bool_data.data)

    def encode_one(self, cell: int) -> bytes:
        return BOOLS[cell]


class Floats(Cells):
    """Floats as doubles, which hold every float32 exactly."""

    def __init__(self, kind: int) -> None:
        self._is_single = kind == TYPES.Float

    def read(self, scalars: Any) -> "array[float]":
        if self._is_single:
            return array("d", array("f", b"".join(scalars.float_data.data)))
        return array("d", b"".join(scalars.double_data.data))

    def encode(self, cells: Sequence[float]) -> list[bytes]:
        # The sum of large numbers may be infinite, too. Then each cell is encoded by itself.
        if not isfinite(sum(cells)):
            return [double_value(cell) for cell in cells]
        packed = array("d", cells).tobytes()
        return [DOUBLE + packed[start : start + 8] for start in range(0, len(packed), 8)]

    def encode_one(self, cell: float) -> bytes:
        return double_value(cell)


class Texts(Cells):
    """Strings, without the tag and the length of a `Value`: `columns.Prefixes` has them ready."""

    def read(self, scalars: Any) -> Sequence[bytes]:
        texts: Sequence[bytes] = scalars.string_data.data
        return texts

    def encode(self, cells: Sequence[bytes]) -> list[bytes]:
        # One look at all of them. The zero bytes keep a cell's beginning from completing the end of the one before.
        check_utf8(b"\0".join(cells))
        return list(cells)

    def encode_one(self, cell: bytes) -> bytes:
        check_utf8(cell)
        return cell


class Documents(Cells):
    """JSON."""

    def read(self, scalars: Any) -> Sequence[bytes]:
        documents: Sequence[bytes] = scalars.json_data.data
        return documents

    def encode_one(self, cell: bytes) -> bytes:
        return json_value(parse_json(cell))


class Arrays(Cells):
    """Arrays of one kind of value."""

    def __init__(self, element_type: int) -> None:
        self._elements = cells_of(element_type)
        self._are_texts = element_type in TEXTS

    def read(self, scalars: Any) -> Sequence[Any]:
        arrays: Sequence[Any] = scalars.array_data.data
        return arrays

    def items(self, cell: Any) -> list[bytes]:
        """Encode the values in one cell."""
        found = self._elements.encode(self._elements.read(cell))
        return [string_value(text) for text in found] if self._are_texts else found

    def encode_one(self, cell: Any) -> bytes:
        return list_value(self.items(cell))


class Described(Cells):
    """A field without a payload type of its own, as the text that Milvus returns."""

    def __init__(self, field: Field) -> None:
        self._field = field

    def read(self, scalars: Any) -> Sequence[Any]:
        which = scalars.WhichOneof("data")
        if which == "timestamptz_data":
            # Microseconds since the epoch, as signed 64-bit numbers.
            return [int_of(value) for value in VARINT.findall(b"".join(scalars.timestamptz_data.data))]
        if which in ("geometry_wkt_data", "string_data"):
            texts: Sequence[bytes] = getattr(scalars, which).data
            return texts
        if which is None:
            return []
        raise TerminalError(
            f"the source gives the field {self._field.name!r} of type {self._field.type_name} as {which}, which qmig "
            f"cannot read{skipping(self._field.name)}"
        )

    def encode_one(self, cell: int | bytes) -> bytes:
        if isinstance(cell, int):
            return string_value(_timestamp(cell))
        check_utf8(cell)
        return string_value(cell)


def cells_of(kind: int) -> Cells:
    """How cells of a scalar type are read, alone or in an array."""
    if kind in INTEGERS:
        return Integers(kind)
    if kind in TEXTS:
        return Texts()
    if kind == TYPES.Bool:
        return Booleans()
    if kind == TYPES.JSON:
        return Documents()
    return Floats(kind)


def cells_of_field(field: Field) -> Cells:
    """How the cells of a scalar field are read."""
    if field.type == TYPES.Array:
        return Arrays(field.element_type)
    if field.type in (TYPES.Geometry, TYPES.Timestamptz):
        return Described(field)
    return cells_of(field.type)


def int_of(encoded: bytes) -> int:
    """Decode a signed 64-bit number from its base-128 bytes."""
    value = sum((byte & 127) << 7 * place for place, byte in enumerate(encoded))
    return value - 2**64 if value >= 2**63 else value


def _timestamp(microseconds: int) -> bytes:
    try:
        moment = EPOCH + timedelta(microseconds=microseconds)
    except OverflowError:
        raise UnfitValueError(
            f"a time of {microseconds} microseconds since 1970, which is outside of the years 1 to 9999"
        ) from None
    return moment.isoformat().replace("+00:00", "Z").encode()
