"""Primary keys: as text in the ledger, as a literal in a filter, in the server's order, and as the id of a point.

A point's id is the key itself where Qdrant can hold it: a number from 0 on, or a UUID in its canonical form (lower
case, with hyphens). Any other key becomes a UUIDv5 in `NAMESPACE`, of the key's decimal digits or of its text. A
UUID in capitals is hashed as well: `AB…` and `ab…` are two keys in Milvus, and would be one point.
"""

import hashlib
import re
import uuid
from collections.abc import Sequence
from typing import Any, Protocol

from qmig.errors import TerminalError
from qmig.qdrant.encoding import varint
from qmig.sources.milvus.messages import schema
from qmig.sources.milvus.schema import TEXTS, TYPES, Field

#: Namespace of the UUIDs that are made from keys. Another namespace would copy every such row again.
NAMESPACE = uuid.UUID("3d1c6c1e-5a0e-5d0c-8f0b-2b8a7d1f4e61")
MIN_INT64, MAX_INT64 = -(2**63), 2**63 - 1

CANONICAL_UUID = re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
# What a string literal may not hold as it is; everything else stands raw. Tried with every control character on
# Milvus 2.3.5, Milvus Lite 3.2.2 and 2.5.1. The last knows line breaks in no form and takes `\\n` for an n, so that
# ranges are cut at other keys where there are any.
ESCAPES = {ord("\\"): "\\\\", ord('"'): '\\"', ord("\n"): "\\n", ord("\r"): "\\r"}

#: An int, or the bytes of a string; a collection has keys of one kind. Python orders them as the server does.
Key = Any


class Keys(Protocol):
    """The keys of one collection."""

    def column(self, scalars: Any) -> list[Key]:
        """Decode the keys of a raw column."""

    def parse(self, text: str) -> Key:
        """Parse a key from its text."""

    def text(self, key: Key) -> str:
        """Write a key as text."""

    def after(self, key: Key) -> Key | None:
        """The smallest key above this one; None where there is none."""

    def condition(self, start: Key | None, end: Key | None) -> str:
        """Write the filter for `[start, end)`; None is an open end."""

    def one_of(self, keys: Sequence[Key]) -> str:
        """Write the filter for these keys."""

    def is_safe(self, key: Key) -> bool:
        """Whether every server parses the key in a filter."""

    def ids(self, keys: Sequence[Key]) -> list[str]:
        """The point ids of rows with these keys."""


class Int64Keys:
    """Keys of an Int64 field."""

    def __init__(self, field: str) -> None:
        self._field = field

    def column(self, scalars: Any) -> list[int]:
        packed = b"".join(scalars.long_data.data)
        # Field 1 of a LongArray, packed: one call decodes the whole column.
        return list(schema.LongArray.FromString(b"\x0a" + varint(len(packed)) + packed).data)

    def parse(self, text: str) -> int:
        return int(text)

    def text(self, key: int) -> str:
        return str(key)

    def after(self, key: int) -> int | None:
        return None if key == MAX_INT64 else key + 1

    def condition(self, start: int | None, end: int | None) -> str:
        # The literal -9223372036854775808 does not parse: its digits are read first, and are too large a number.
        conditions = []
        if start is not None and start > MIN_INT64:
            conditions.append(f"{self._field} >= {start}")
        if end is not None and end <= MAX_INT64:
            conditions.append(f"{self._field} < {end}")
        return " and ".join(conditions) or f"{self._field} <= {MAX_INT64}"

    def one_of(self, keys: Sequence[int]) -> str:
        literals = [str(key) for key in keys if key > MIN_INT64]
        conditions = [f"{self._field} in [{', '.join(literals)}]"] if literals else []
        if MIN_INT64 in keys:
            conditions.append(f"{self._field} < {MIN_INT64 + 1}")
        return " or ".join(conditions)

    def is_safe(self, key: int) -> bool:  # noqa: ARG002
        return True

    def ids(self, keys: Sequence[int]) -> list[str]:
        return [str(key) if key >= 0 else hashed(b"%d" % key) for key in keys]


class VarCharKeys:
    """Keys of a VarChar field as UTF-8 bytes, which is how Milvus compares them."""

    def __init__(self, field: str) -> None:
        self._field = field

    def column(self, scalars: Any) -> list[bytes]:
        return list(scalars.string_data.data)

    def parse(self, text: str) -> bytes:
        return text.encode()

    def text(self, key: bytes) -> str:
        # A key that is not UTF-8 belongs to a row that cannot be copied, and is only shown.
        return key.decode(errors="backslashreplace")

    def after(self, key: bytes) -> bytes | None:
        return key + b"\0"

    def condition(self, start: bytes | None, end: bytes | None) -> str:
        conditions = [f"{self._field} >= {literal(start or b'')}"]
        if end is not None:
            conditions.append(f"{self._field} < {literal(end)}")
        return " and ".join(conditions)

    def one_of(self, keys: Sequence[bytes]) -> str:
        return f"{self._field} in [{', '.join(map(literal, keys))}]"

    def is_safe(self, key: bytes) -> bool:
        return b"\n" not in key and b"\r" not in key and _is_utf8(key)

    def ids(self, keys: Sequence[bytes]) -> list[str]:
        return [key.decode() if CANONICAL_UUID.fullmatch(key) else hashed(key) for key in keys]


def keys_of(field: Field) -> Keys:
    """The kind of keys that a key field has; TerminalError for a type that cannot be a key."""
    if field.type == TYPES.Int64:
        return Int64Keys(field.name)
    if field.type in TEXTS:
        return VarCharKeys(field.name)
    raise TerminalError(f"the primary key {field.name!r} is of type {field.type_name}, not Int64 or VarChar")


def literal(key: bytes) -> str:
    """Write a string key as a literal of a filter; TerminalError where it is not UTF-8."""
    if not _is_utf8(key):
        raise TerminalError(f"the source has the primary key {key!r}, which is not UTF-8: no filter can name it")
    return f'"{key.decode().translate(ESCAPES)}"'


def hashed(name: bytes) -> str:
    """Compute the UUIDv5 of `name` in `NAMESPACE`, in a third of the time of `uuid.uuid5`."""
    digest = bytearray(hashlib.sha1(NAMESPACE.bytes + name, usedforsecurity=False).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x50
    digest[8] = digest[8] & 0x3F | 0x80
    text = digest.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _is_utf8(key: bytes) -> bool:
    try:
        key.decode()
    except UnicodeDecodeError:
        return False
    return True
