"""Payload values as they stand on the wire: a Qdrant `Value` of anything that a row of Milvus holds."""

import json
from collections.abc import Iterable
from math import isfinite
from typing import Any

from qmig.qdrant import messages as api
from qmig.qdrant.passthrough import varint

# Tags of Value's fields, and of the containers in it: field number << 3 | wire type.
NULL = b"\x08\x00"
DOUBLE = b"\x11"
INTEGER = b"\x18"
STRING = b"\x22"
BOOLS = (b"\x28\x00", b"\x28\x01")
STRUCT = b"\x32"
LIST = b"\x3a"
# `values` of a list, `fields` of a struct, and both parts of a map's entry.
FIRST, SECOND = b"\x0a", b"\x12"
# `payload` of a PointStruct, one entry of its map.
PAYLOAD = b"\x1a"

MIN_INTEGER, MAX_INTEGER = -(2**63), 2**63 - 1


def holding(tag: bytes, content: bytes) -> bytes:
    """A field with a length."""
    return tag + varint(len(content)) + content


def string_value(text: bytes) -> bytes:
    """A string, from its UTF-8 bytes."""
    return holding(STRING, text)


def list_value(values: Iterable[bytes]) -> bytes:
    """A list of encoded values."""
    return holding(LIST, b"".join(holding(FIRST, value) for value in values))


def struct_value(fields: Iterable[tuple[bytes, bytes]]) -> bytes:
    """An object of names and encoded values."""
    return holding(STRUCT, b"".join(holding(FIRST, entry(name, value)) for name, value in fields))


def entry(name: bytes, value: bytes) -> bytes:
    """An entry of a map from names to values."""
    return holding(FIRST, name) + holding(SECOND, value)


def encode(value: Any) -> bytes:
    """What `json.loads` made; ValueError, with a reason, where Qdrant can hold no such value."""
    kind = type(value)
    if kind is str:
        return string_value(_utf8(value))
    if kind is bool:
        return BOOLS[value]
    if kind is int:
        if not MIN_INTEGER <= value <= MAX_INTEGER:
            raise ValueError(f"the integer {value}, which is beyond 64 bits")
        return INTEGER + varint(value & 0xFFFFFFFFFFFFFFFF)
    if value is None:
        return NULL
    if kind is float:
        if not isfinite(value):
            raise ValueError(f"{value}, which is no number of JSON")
        return api.Value(double_value=value).SerializeToString()
    if kind is list:
        return list_value(map(encode, value))
    return struct_value((_utf8(name), encode(member)) for name, member in value.items())


def parse_json(text: bytes) -> Any:
    """A JSON text with its integers exact; nothing at all is a null. ValueError where it is none."""
    return json.loads(text) if text else None


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{text!r}, which is no Unicode text (a lone surrogate)") from None
