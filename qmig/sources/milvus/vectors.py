"""Convert columns of vector fields to named vectors, one entry for each row."""

from array import array
from collections.abc import Callable, Iterable
from math import isfinite
from struct import unpack
from typing import Any

from qmig.errors import TerminalError
from qmig.qdrant.encoding import FIELD_1, FIELD_2, length_delimited, varint
from qmig.sources.milvus.columns import Rows, member_name, spread
from qmig.sources.milvus.schema import TYPES, Field

# Fields of a `Vector`, length-delimited.
DENSE, SPARSE, MULTI = (varint(number << 3 | 2) for number in (101, 102, 103))
# `vectors` of a PointStruct, and in it `vectors`, the named ones.
VECTORS = b"\x22"
NAMED = b"\x12"

# Eight floats, 0 or 1, for each byte of a binary vector; its highest bit comes first, as in numpy's packbits.
BITS = [array("f", [byte >> bit & 1 for bit in range(7, -1, -1)]).tobytes() for byte in range(256)]


class DenseColumn:
    """A dense vector under `name`, as float32 whatever it is in Milvus."""

    def __init__(self, field: Field, name: str) -> None:
        self.field = field
        size = 4 * field.dim
        vector = DENSE + varint(_length_with_head(size)) + FIELD_1 + varint(size)
        head = length_delimited(FIELD_1, name.encode()) + FIELD_2 + varint(len(vector) + size)
        self._prefix = FIELD_1 + varint(len(head) + len(vector) + size) + head + vector
        self._size = size

    def entries(self, data: Any, rows: Rows) -> list[bytes]:
        """Return the named vector of each row; empty for a null."""
        floats = floats_of(data.vectors, self.field.type)
        size, prefix = self._size, self._prefix
        if len(floats) % size:
            raise TerminalError(
                f"the source answered {len(floats) // 4} numbers for the {self.field.dim}-dimensional vector "
                f"{self.field.name!r}; its answer cannot be read"
            )
        found = [prefix + floats[start : start + size] for start in range(0, len(floats), size)]
        found = spread(found, data.valid_data, rows, b"", self.field.name)
        if may_be_infinite(floats):
            for row, vector in enumerate(found):
                check_finite(vector[len(prefix) :], rows, row, self.field.name)
        return found


class SparseColumn:
    """A sparse vector under `name`."""

    def __init__(self, field: Field, name: str) -> None:
        self.field = field
        self._name = length_delimited(FIELD_1, name.encode())

    def entries(self, data: Any, rows: Rows) -> list[bytes]:
        """Return the named vector of each row; empty for a null."""
        contents = list(data.vectors.sparse_float_vector.contents)
        found = [self._entry(pairs) for pairs in contents]
        found = spread(found, data.valid_data, rows, b"", self.field.name)
        places = (row for row, one in enumerate(found) if one) if len(contents) != rows.count else range(rows.count)
        for row, pairs in zip(places, contents, strict=False):
            values = array("f", _halves(pairs)[1])
            if not isfinite(sum(values)) and found[row]:
                check_finite(values.tobytes(), rows, row, self.field.name)
        return found

    def _entry(self, pairs: bytes) -> bytes:
        indices, values = _halves(pairs)
        packed = b"".join(map(varint, array("I", indices)))
        vector = length_delimited(SPARSE, length_delimited(FIELD_1, values) + length_delimited(FIELD_2, packed))
        return length_delimited(FIELD_1, self._name + length_delimited(FIELD_2, vector))


class MultiColumn:
    """A multivector under `name`: one member of an array of structs."""

    def __init__(self, struct: Field, member: Field, name: str) -> None:
        self.field = struct
        self._member = member
        self._name = length_delimited(FIELD_1, name.encode())

    def entries(self, data: Any, rows: Rows) -> list[bytes]:
        """Return the named vector of each row; empty for a null or an empty list."""
        for partition in data.struct_arrays.fields:
            if member_name(partition.field_name, self.field.name) == self._member.name:
                cells = [floats_of(cell, self._member.element_type) for cell in partition.vectors.vector_array.data]
                found = [self._entry(floats) for floats in cells]
                for row, floats in enumerate(cells):
                    if may_be_infinite(floats):
                        check_finite(floats, rows, row, self.field.name)
                return spread(found, data.valid_data or partition.valid_data, rows, b"", self.field.name)
        raise TerminalError(f"the source's answer lacks {self._member.name!r} of the field {self.field.name!r}")

    def _entry(self, floats: bytes) -> bytes:
        if not floats:
            return b""
        size = 4 * self._member.dim
        vectors = (floats[start : start + size] for start in range(0, len(floats), size))
        multi = b"".join(length_delimited(FIELD_1, length_delimited(FIELD_1, vector)) for vector in vectors)
        return length_delimited(FIELD_1, self._name + length_delimited(FIELD_2, length_delimited(MULTI, multi)))


class Headers(dict[int, bytes]):
    """The bytes before a point's named vectors, by the length of these vectors together."""

    def __missing__(self, length: int) -> bytes:
        named = NAMED + varint(length)
        self[length] = found = VECTORS + varint(len(named) + length) + named
        return found


def with_headers(columns: list[list[bytes]], rows: int) -> list[bytes]:
    """Join the named vectors of each row into one field of its point; a row without vectors has an empty one."""
    headers = Headers()
    entries: Iterable[bytes] = columns[0] if len(columns) == 1 else map(b"".join, zip(*columns, strict=True))
    if not columns:
        entries = [b""] * rows
    return [headers[len(one)] + one for one in entries]


def floats_of(vectors: Any, kind: int) -> bytes:
    """Decode a column of vectors to float32."""
    decode: Callable[[bytes], bytes] | None = DECODERS.get(kind)
    if decode is None:
        return b"".join(vectors.float_vector.data)
    return decode(getattr(vectors, RAW_FIELDS[kind]))


def may_be_infinite(floats: bytes) -> bool:
    """Whether a float may be NaN or infinite: a quick check of the exponents, in every fourth byte."""
    high = floats[3::4]
    return 0x7F in high or 0xFF in high


def check_finite(floats: bytes, rows: Rows, row: int, field: str) -> None:
    """Refuse a row whose vector holds NaN or infinity: Qdrant stores it, but no search finds it."""
    for value in array("f", floats):
        if not isfinite(value):
            rows.refuse(row, field, str(value))


def _halves(pairs: bytes) -> tuple[bytes, bytes]:
    """Split a sparse vector into indices and values, which alternate, 4 bytes each."""
    halves = []
    for first in (0, 4):
        half = bytearray(len(pairs) // 2)
        for byte in range(4):
            half[byte::4] = pairs[first + byte :: 8]
        halves.append(bytes(half))
    return halves[0], halves[1]


def _from_float16(data: bytes) -> bytes:
    return array("f", unpack(f"<{len(data) // 2}e", data)).tobytes()


def _from_bfloat16(data: bytes) -> bytes:
    """A bfloat16 is the upper half of a float32."""
    floats = bytearray(2 * len(data))
    floats[2::4] = data[0::2]
    floats[3::4] = data[1::2]
    return bytes(floats)


def _from_int8(data: bytes) -> bytes:
    return array("f", array("b", data)).tobytes()


def _from_bits(data: bytes) -> bytes:
    return b"".join(map(BITS.__getitem__, data))


def _length_with_head(size: int) -> int:
    return len(FIELD_1) + len(varint(size)) + size


DECODERS = {
    TYPES.Float16Vector: _from_float16,
    TYPES.BFloat16Vector: _from_bfloat16,
    TYPES.Int8Vector: _from_int8,
    TYPES.BinaryVector: _from_bits,
}
RAW_FIELDS = {
    TYPES.Float16Vector: "float16_vector",
    TYPES.BFloat16Vector: "bfloat16_vector",
    TYPES.Int8Vector: "int8_vector",
    TYPES.BinaryVector: "binary_vector",
}
