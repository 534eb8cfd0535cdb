"""Encode `PointStruct`s and their payload values as bytes (Qdrant's `points.proto` and `json_with_int.proto`)."""

from collections.abc import Iterable

# Tags: field number << 3 | wire type. Fields of a `Value`:
NULL = b"\x08\x00"
DOUBLE = b"\x11"
INTEGER = b"\x18"
STRING = b"\x22"
BOOLS = (b"\x28\x00", b"\x28\x01")
STRUCT = b"\x32"
LIST = b"\x3a"
#: Fields 1 and 2 of any message, length-delimited: `values` of a list, `fields` of a struct, key and value in a map.
FIELD_1, FIELD_2 = b"\x0a", b"\x12"
#: Lists and objects within each other, under one payload key, with which a server starts again (see `nesting`).
MAX_LEVELS = 122

#: Integers that a payload holds exactly; it turns a larger one into a double.
MIN_INTEGER, MAX_INTEGER = -(2**63), 2**63 - 1

#: `payload` of a PointStruct, one entry of its map.
PAYLOAD = b"\x1a"

#: The numbers that take one byte: most lengths.
SHORT = [bytes([value]) for value in range(128)]


def varint(value: int) -> bytes:
    """Encode an unsigned number in base 128."""
    if 0 <= value < len(SHORT):
        return SHORT[value]
    encoded = bytearray()
    while value > 127:
        encoded.append(value & 127 | 128)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def length_delimited(tag: bytes, content: bytes) -> bytes:
    """Encode a field that begins with its length: a string, bytes or a message."""
    return tag + varint(len(content)) + content


def map_entry(key: bytes, value: bytes) -> bytes:
    """Encode an entry of a map from strings to messages."""
    return length_delimited(FIELD_1, key) + length_delimited(FIELD_2, value)


def string_value(text: bytes) -> bytes:
    """Encode a `Value` that is a string, from its UTF-8 bytes."""
    return length_delimited(STRING, text)


def list_value(values: Iterable[bytes]) -> bytes:
    """Encode a `Value` that is a list, from encoded values."""
    return length_delimited(LIST, b"".join(length_delimited(FIELD_1, value) for value in values))


def struct_value(fields: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Encode a `Value` that is an object, from names and encoded values."""
    return length_delimited(STRUCT, b"".join(length_delimited(FIELD_1, map_entry(*field)) for field in fields))


def payload_entry(name: str, value: bytes) -> bytes:
    """Encode one top-level field of a point's payload, from its encoded value."""
    return length_delimited(PAYLOAD, map_entry(name.encode(), value))
