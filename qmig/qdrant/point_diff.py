"""Compare a point of the source with that of the target: bytes first, values only where the bytes differ.

A server sends payload keys and named vectors in any order, since they are hash maps in Rust. So the fields of both
points are compared as sets, and only the fields that differ are decoded.
"""

import math
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING

from google.protobuf.message import DecodeError

from qmig.qdrant import messages as api
from qmig.qdrant.encoding import LIST, STRUCT
from qmig.qdrant.passthrough import field_number, fields, raw_members, raw_payload, split

if TYPE_CHECKING:
    from qmig.qdrant.vector_diff import VectorComparison

#: Relative difference up to which two doubles count as equal: Qdrant 1.18.3 returns one payload double of ten with
#: another last bit, and the copy of a copy with one more.
DOUBLE_ROUNDING = 2.0**-50
#: Characters of a value that a difference shows.
SHOWN = 60

ID, PAYLOAD, VECTORS = 1, 3, 4


class PointComparison:
    """Compares points of a source with those of the target collection that `info` describes."""

    def __init__(self, info: api.CollectionInfo) -> None:
        self._info = info

    @cached_property
    def _vectors(self) -> "VectorComparison":
        # Imported late: numpy takes a tenth of a second and 20 MB, and most copies are equal byte for byte.
        from qmig.qdrant.vector_diff import VectorComparison

        return VectorComparison(self._info)

    def difference(self, source: bytes, target: bytes) -> str | None:
        """Describe the first difference between two serialized `PointStruct`s of one id, in one line; None if equal.

        Numbers are compared as the target stores them. 1 differs from 1.0, and null from an absent key; NaN equals
        NaN, and -0.0 equals 0.0.
        """
        if source == target:
            return None
        ours, theirs = split(source), split(target)
        if len(ours) == len(theirs) and sorted(ours) == sorted(theirs):
            return None
        return self._left_over(ours, theirs)

    def _left_over(self, ours: list[bytes], theirs: list[bytes]) -> str | None:
        """Describe the first difference in the fields that the points do not have in common."""
        only_ours, only_theirs = set(ours).difference(theirs), set(theirs).difference(ours)
        unknown = {field_number(field) for field in only_ours | only_theirs} - {ID, PAYLOAD, VECTORS}
        if unknown:
            return f"field {min(unknown)} of the point, which this qmig does not know"
        mine, other = (b"".join(fields) for fields in (only_ours, only_theirs))
        try:
            payloads = [api.PointStruct.FromString(point) for point in (mine, other)]
            found = map_difference("payload", payloads[0].payload, payloads[1].payload)
        except DecodeError:
            # Nested too deep for this client.
            found = raw_map_difference("payload", raw_payload(mine), raw_payload(other))
        return found or self._vectors_difference(*(_vectors(point) for point in (only_ours, only_theirs)))

    def _vectors_difference(self, ours: api.Vectors, theirs: api.Vectors) -> str | None:
        if ours == theirs:
            return None
        return self._vectors.difference(ours, theirs)


def _vectors(point: set[bytes]) -> api.Vectors:
    """The vectors among the fields of a point."""
    return api.PointStruct.FromString(b"".join(part for part in point if field_number(part) == VECTORS)).vectors


def map_difference(path: str, ours: Mapping[str, api.Value], theirs: Mapping[str, api.Value]) -> str | None:
    """Describe the first difference between two payloads or structs, whatever the order of their keys."""
    for key in sorted(ours.keys() | theirs.keys()):
        at = f"{path} {key!r}" if path == "payload" else f"{path}.{key}"
        if key not in theirs:
            return f"{at}: {shown(ours[key])} is missing in the target"
        if key not in ours:
            return f"{at}: {shown(theirs[key])} is in the target only"
        if found := value_difference(at, ours[key], theirs[key]):
            return found
    return None


def value_difference(path: str, ours: api.Value, theirs: api.Value) -> str | None:
    """Describe the first difference between two values of a payload."""
    if ours == theirs:
        return None
    kind = _kind(ours)
    if kind == _kind(theirs):
        if kind == "null_value" or (kind == "double_value" and _same_double(ours.double_value, theirs.double_value)):
            return None
        if kind == "struct_value":
            return map_difference(path, ours.struct_value.fields, theirs.struct_value.fields)
        if kind == "list_value":
            return _list_difference(path, ours.list_value, theirs.list_value)
    return f"{path}: {shown(ours)} ≠ {shown(theirs)}"


def raw_map_difference(path: str, ours: Mapping[bytes, bytes], theirs: Mapping[bytes, bytes]) -> str | None:
    """Describe the first difference between serialized values by their keys, where one is too deep to decode."""
    for key in sorted(ours.keys() | theirs.keys()):
        name = key.decode(errors="replace")
        at = f"{path} {name!r}" if path == "payload" else f"{path}.{name}"
        if key not in ours or key not in theirs:
            return f"{at} is {'missing in the target' if key in ours else 'in the target only'}"
        if found := raw_value_difference(at, ours[key], theirs[key]):
            return found
    return None


def raw_value_difference(path: str, ours: bytes, theirs: bytes) -> str | None:
    """Describe the first difference between two serialized values: levels are taken off until they can be decoded."""
    if ours == theirs:
        return None
    try:
        return value_difference(path, api.Value.FromString(ours), api.Value.FromString(theirs))
    except DecodeError:
        (mine_tag, mine), (other_tag, other) = _content(ours), _content(theirs)
    if mine_tag != other_tag or mine_tag not in (LIST[0], STRUCT[0]):
        return f"{path}: values of other kinds"
    if mine_tag == STRUCT[0]:
        return raw_map_difference(path, raw_members(mine), raw_members(other))
    items = [[part[first:last] for _, first, last in fields(part, 0, len(part))] for part in (mine, other)]
    if len(items[0]) != len(items[1]):
        return f"{path}: a list of {len(items[0]):,} ≠ one of {len(items[1]):,}"
    found = (raw_value_difference(f"{path}[{place}]", *pair) for place, pair in enumerate(zip(*items, strict=True)))
    return next((one for one in found if one), None)


def _content(value: bytes) -> tuple[int, bytes]:
    """The tag of a serialized value, which tells its kind, and what it holds."""
    found = [(tag, value[start:end]) for tag, start, end in fields(value, 0, len(value))]
    return found[-1] if found else (0, b"")


def _list_difference(path: str, ours: api.ListValue, theirs: api.ListValue) -> str | None:
    if len(ours.values) != len(theirs.values):
        return f"{path}: a list of {len(ours.values):,} ≠ one of {len(theirs.values):,}"
    for place, (one, other) in enumerate(zip(ours.values, theirs.values, strict=True)):
        if found := value_difference(f"{path}[{place}]", one, other):
            return found
    return None


def _kind(value: api.Value) -> str:
    """The kind of a value; one that is not set is null."""
    return value.WhichOneof("kind") or "null_value"


def _same_double(one: float, other: float) -> bool:
    if math.isnan(one) or math.isnan(other):
        return math.isnan(one) and math.isnan(other)
    # Subnormal doubles all have the last bit of the smallest normal one.
    return math.isclose(one, other, rel_tol=DOUBLE_ROUNDING, abs_tol=4 * math.ulp(0.0))


def shown(value: api.Value) -> str:
    """Shorten a value for a message."""
    kind = _kind(value)
    if kind == "null_value":
        return "null"
    if kind == "bool_value":
        return "true" if value.bool_value else "false"
    if kind == "struct_value":
        return f"an object of {len(value.struct_value.fields):,}"
    if kind == "list_value":
        return f"a list of {len(value.list_value.values):,}"
    text = repr(getattr(value, kind))
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"
