"""Convert JSON to encoded payload values, exactly or not at all."""

import json
import re
from collections.abc import Sequence
from math import isfinite
from struct import pack
from typing import Any

from qmig.qdrant.encoding import (
    BOOLS,
    DOUBLE,
    INTEGER,
    MAX_INTEGER,
    MIN_INTEGER,
    NULL,
    list_value,
    string_value,
    struct_value,
    varint,
)

#: Messages within each other that the gRPC clients of Qdrant decode: protobuf's limit in Python, Rust, Java and C#.
MAX_CLIENT_MESSAGES = 100
#: Messages around a top-level value in the answer to a scroll, a get or a query: the point, its payload's entry, and
#: the value itself.
MESSAGES_AROUND = 3
#: Messages that one list and one object add: a list and its item; an object, its entry and the entry's value. An
#: empty one adds only itself.
LIST_MESSAGES, OBJECT_MESSAGES, EMPTY_MESSAGES = 2, 3, 1
#: Messages that may be within a top-level value: 48 lists, 32 objects, or a mixture. Measured on Qdrant 1.19.0:
#: Python's client reads these, and no deeper value. The server takes more, but see `nesting.MAX_LEVELS`.
MAX_MESSAGES_WITHIN = MAX_CLIENT_MESSAGES - MESSAGES_AROUND
#: Characters of a value that a reason shows.
SHOWN = 60

# A string of JSON, or one bracket outside of strings.
BRACKET = re.compile(rb'"(?:[^"\\]|\\.)*"?|[\[\]{}]', re.DOTALL)


class UnfitValueError(ValueError):
    """A payload cannot hold the value exactly; the message says what it is and why."""


def parse_json(text: bytes) -> Any:
    """Parse JSON and keep its numbers; an empty text is a null. UnfitValueError where a payload cannot hold it.

    A number with a fraction or an exponent is the double that is nearest to it.
    """
    if not text:
        return None
    try:
        return _DECODER.decode(text.decode())
    except RecursionError:
        raise UnfitValueError(_too_deep(nesting(text))) from None
    except UnfitValueError:
        raise
    except json.JSONDecodeError as error:
        raise UnfitValueError(f"text that is not JSON ({error.msg} at character {error.pos + 1})") from None
    except UnicodeDecodeError:
        raise UnfitValueError("text that is not UTF-8") from None
    except ValueError:
        # Python converts no integer of more than 4,300 digits.
        raise UnfitValueError("an integer of thousands of digits, which is beyond 64 bits") from None


def json_value(value: Any) -> bytes:
    """Encode what `parse_json` returns as a top-level `Value`; UnfitValueError where a payload cannot hold it."""
    try:
        return _value(value, MAX_MESSAGES_WITHIN)
    except _TooDeepError:
        raise UnfitValueError(_too_deep(_levels(value))) from None


def _value(value: Any, room: int) -> bytes:
    """Encode a value, with `room` for messages within it."""
    kind = type(value)
    if kind is str:
        return string_value(_utf8(value))
    if kind is bool:
        return BOOLS[value]
    if kind is int:
        return _integer(value)
    if value is None:
        return NULL
    if kind is float:
        return double_value(value)
    room -= EMPTY_MESSAGES if not value else LIST_MESSAGES if kind is list else OBJECT_MESSAGES
    if room < 0:
        raise _TooDeepError
    if kind is list:
        return list_value(_value(item, room) for item in value)
    return struct_value((_utf8(name), _value(member, room)) for name, member in value.items())


def double_value(value: float) -> bytes:
    """Encode a double as a `Value`; UnfitValueError where it is NaN or infinite."""
    if not isfinite(value):
        raise UnfitValueError(f"{value}, which is no number of JSON")
    return DOUBLE + pack("<d", value)


def check_utf8(text: bytes) -> None:
    """UnfitValueError where bytes are no UTF-8."""
    try:
        text.decode()
    except UnicodeDecodeError:
        raise UnfitValueError(f"{shorten(text)}, which is not UTF-8") from None


def shorten(value: Any) -> str:
    """A value for a reason, at most `SHOWN` characters of it."""
    shown = repr(value[: SHOWN + 1]) if isinstance(value, str | bytes) else str(value)
    return shown if len(shown) <= SHOWN else f"{shown[: SHOWN - 1]}…"


def nesting(text: bytes) -> int:
    """The number of lists and objects within each other in a JSON text, without parsing it."""
    deepest = depth = 0
    for token in BRACKET.finditer(text):
        if token[0] in (b"[", b"{"):
            depth += 1
            deepest = max(deepest, depth)
        elif token[0] in (b"]", b"}"):
            depth -= 1
    return deepest


class _TooDeepError(ValueError):
    """The value is nested deeper than clients can read."""


def _too_deep(levels: int) -> str:
    return f"a value nested {levels} deep, which Qdrant's clients cannot read (48 lists or 32 objects at most)"


def _levels(value: Any) -> int:
    """The number of lists and objects within each other."""
    levels, layer = 0, [value]
    while layer := [one for one in layer if isinstance(one, list | dict)]:
        levels += 1
        layer = [item for one in layer for item in (one.values() if isinstance(one, dict) else one)]
    return levels


def _integer(value: int) -> bytes:
    if not MIN_INTEGER <= value <= MAX_INTEGER:
        raise UnfitValueError(f"the integer {shorten(value)}, which is beyond 64 bits")
    return INTEGER + varint(value & 0xFFFFFFFFFFFFFFFF)


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise UnfitValueError(f"{shorten(text)}, which is no Unicode text (a lone surrogate)") from None


def _double(text: str) -> float:
    value = float(text)
    if not isfinite(value):
        raise UnfitValueError(f"the number {shorten(text)}, which is beyond a double")
    if not value and text.lower().partition("e")[0].strip("-0."):
        raise UnfitValueError(f"the number {shorten(text)}, which a double makes 0")
    return value


def _object(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise UnfitValueError(f"an object with the key {shorten(twice)} twice")
    return found


def _not_a_number(text: str) -> float:
    raise UnfitValueError(f"{text}, which is no number of JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_float=_double, parse_constant=_not_a_number)
