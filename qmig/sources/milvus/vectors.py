"""Convert columns of vector fields to named vectors, one entry for each row."""

from array import array
from collections.abc import Callable, Iterable
from math import isfinite
from struct import unpack
from typing import Any

from qmig.errors import TerminalError
from qmig.qdrant import messages as api
from qmig.qdrant.encoding import FIELD_1, FIELD_2, length_delimited, varint
from qmig.qdrant.json_values import UnfitValueError
from qmig.sources.milvus.columns import member_name
from qmig.sources.milvus.rows import Rows, convert_column, skipping, spread
from qmig.sources.milvus.schema import TYPES, Field

# Fields of a `Vector`, length-delimited.
DENSE, SPARSE, MULTI = (varint(number << 3 | 2) for number in (101, 102, 103))
# `vectors` of a PointStruct, and in it `vectors`, the named ones.
VECTORS = b"\x22"
NAMED = b"\x12"

# Eight floats, 0 or 1, for each byte of a binary vector; its highest bit comes first, as in numpy's packbits.
BITS = [array("f", [byte >> bit & 1 for bit in range(7, -1, -1)]).tobytes() for byte in range(256)]

#: Highest bytes of finite floats: the sign, and seven bits of the exponent.
HARMLESS = bytes(byte for byte in range(256) if byte & 127 < 127)
#: Highest bytes of floats below 2^55: the squares of 2^15 of them, the most that a vector of Milvus has, add up to a
#: float32.
HARMLESS_UNDER_COSINE = bytes(byte for byte in range(256) if byte & 127 < 0x5B)
#: Sum of a vector's squares from which the float32 of its length may be infinite. Qdrant 1.19.0 then stores zeros.
MAX_SQUARES = 3.4e38


class DenseColumn:
    """A dense vector under `name`, as float32 whatever it is in Milvus."""

    def __init__(self, field: Field, name: str, distance: int) -> None:
        self.field = field
        self._check = NumberCheck(distance)
        size = 4 * field.dim
        vector = DENSE + varint(_length_with_head(size)) + FIELD_1 + varint(size)
        head = length_delimited(FIELD_1, name.encode()) + FIELD_2 + varint(len(vector) + size)
        self._prefix = FIELD_1 + varint(len(head) + len(vector) + size) + head + vector
        self._size = size

    def entries(self, data: Any, rows: Rows) -> list[bytes]:
        """Return the named vector of each row; empty for a null."""
        floats = floats_of(data.vectors, self.field.type)
        size, prefix, check, name = self._size, self._prefix, self._check, self.field.name
        if len(floats) % size:
            raise TerminalError(
                f"the source answered {len(floats) // 4} numbers for the {self.field.dim}-dimensional vector "
                f"{name!r}; its answer cannot be read"
            )
        found = [prefix + floats[start : start + size] for start in range(0, len(floats), size)]
        if not check.is_sure(floats):

            def checked(entry: bytes) -> bytes:
                check.check(entry[len(prefix) :])
                return entry

            found = convert_column(
                found,
                lambda entries: list(map(checked, entries)),
                checked,
                data.valid_data,
                rows,
                name,
                skipping(name),
            )
        return spread(found, data.valid_data, rows, b"", name)


class SparseColumn:
    """A sparse vector under `name`."""

    def __init__(self, field: Field, name: str) -> None:
        self.field = field
        self._name = length_delimited(FIELD_1, name.encode())

    def entries(self, data: Any, rows: Rows) -> list[bytes]:
        """Return the named vector of each row; empty for a null."""
        name = self.field.name
        contents = list(data.vectors.sparse_float_vector.contents)
        found = convert_column(
            contents,
            lambda cells: list(map(self._entry, cells)),
            self._entry,
            data.valid_data,
            rows,
            name,
            skipping(name),
        )
        return spread(found, data.valid_data, rows, b"", name)

    def _entry(self, pairs: bytes) -> bytes:
        if len(pairs) % 8:
            raise UnfitValueError(f"a sparse vector of {len(pairs)} bytes, not of 8 for each number")
        halves = _halves(pairs)
        indices, values = array("I", halves[0]), halves[1]
        if len(set(indices)) < len(indices):
            twice = next(index for index in indices if indices.count(index) > 1)
            raise UnfitValueError(f"a sparse vector with the index {twice} twice")
        if not isfinite(sum(array("f", values))):
            check_finite(values)
        packed = b"".join(map(varint, indices))
        vector = length_delimited(SPARSE, length_delimited(FIELD_1, values) + length_delimited(FIELD_2, packed))
        return length_delimited(FIELD_1, self._name + length_delimited(FIELD_2, vector))


class MultiColumn:
    """A multivector under `name`: one member of an array of structs."""

    def __init__(self, struct: Field, member: Field, name: str, distance: int) -> None:
        self.field = struct
        self._member = member
        self._check = NumberCheck(distance)
        self._name = length_delimited(FIELD_1, name.encode())

    def entries(self, data: Any, rows: Rows) -> list[bytes]:
        """Return the named vector of each row; empty for a null or an empty list."""
        name = self.field.name
        for partition in data.struct_arrays.fields:
            if member_name(partition.field_name, name) == self._member.name:
                valid = data.valid_data or partition.valid_data
                found = convert_column(
                    partition.vectors.vector_array.data,
                    lambda cells: list(map(self._entry, cells)),
                    self._entry,
                    valid,
                    rows,
                    name,
                    skipping(name),
                )
                return spread(found, valid, rows, b"", name)
        raise TerminalError(f"the source's answer lacks {self._member.name!r} of the field {name!r}")

    def _entry(self, cell: Any) -> bytes:
        floats = floats_of(cell, self._member.element_type)
        if not floats:
            return b""
        size = 4 * self._member.dim
        if len(floats) % size:
            raise UnfitValueError(f"{len(floats) // 4} numbers in vectors of {self._member.dim}")
        vectors = [floats[start : start + size] for start in range(0, len(floats), size)]
        if not self._check.is_sure(floats):
            for vector in vectors:
                self._check.check(vector)
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


class NumberCheck:
    """Finds vectors that Qdrant cannot hold under a distance."""

    def __init__(self, distance: int) -> None:
        self._is_normalised = distance == api.Cosine
        #: Highest bytes of floats that do no harm.
        self._harmless = HARMLESS_UNDER_COSINE if self._is_normalised else HARMLESS

    def is_sure(self, floats: bytes) -> bool:
        """Whether all vectors can be held, after a quick look at the sign and the exponent of each number."""
        return not floats[3::4].translate(None, self._harmless)

    def check(self, floats: bytes) -> None:
        """UnfitValueError where a vector cannot be held."""
        check_finite(floats)
        if self._is_normalised and sum(value * value for value in array("f", floats)) >= MAX_SQUARES:
            raise UnfitValueError(
                "numbers so large that Qdrant, which normalises a vector under cosine distance, makes all of them 0"
            )


def check_finite(floats: bytes) -> None:
    """UnfitValueError where a vector holds NaN or infinity: Qdrant stores it, but no search finds it."""
    for value in array("f", floats):
        if not isfinite(value):
            raise UnfitValueError(f"{value}, and no search in Qdrant finds a vector with it")


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
