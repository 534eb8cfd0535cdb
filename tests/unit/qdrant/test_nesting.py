"""Payloads that a server does not survive are found on the wire, and deep ones are compared without decoding."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from qdrant_client import grpc as api

from qmig.qdrant.batch import InvalidRow
from qmig.qdrant.encoding import INTEGER, length_delimited, list_value, map_entry, string_value, struct_value
from qmig.qdrant.nesting import MAX_LEVELS
from qmig.qdrant.passthrough import payload_value
from qmig.qdrant.point_diff import PointComparison
from qmig.qdrant.raw_read import batch_before

ONE = INTEGER + b"\x01"


def encoded(value: Any) -> bytes:
    """Encode lists, objects, texts and ones."""
    if isinstance(value, list):
        return list_value(map(encoded, value))
    if isinstance(value, dict):
        return struct_value((name.encode(), encoded(member)) for name, member in value.items())
    return string_value(value.encode()) if isinstance(value, str) else ONE


def levels(value: Any) -> int:
    if not isinstance(value, list | dict):
        return 0
    members = value.values() if isinstance(value, dict) else value
    return 1 + max(map(levels, members), default=0)


def nested(kind: str, depth: int, innermost: Any = 1) -> Any:
    value = innermost
    for level in range(depth):
        value = [value] if kind == "list" or (kind == "both" and level % 2) else {"a": value}
    return value


def point(number: int, value: Any, field: int = 2) -> bytes:
    """A `RetrievedPoint`, or with field 3 a `PointStruct`, that holds a value."""
    payload = length_delimited(bytes([field << 3 | 2]), map_entry(b"deep", encoded(value)))
    return api.PointStruct(id=api.PointId(num=number)).SerializeToString() + payload


def read(*points: bytes) -> tuple[list[int], tuple[InvalidRow, ...]]:
    """The ids of the points that a page of a scroll gives, and its rejects."""
    batch = batch_before(b"".join(length_delimited(b"\x12", one) for one in points), None)
    return [api.PointId.FromString(one[2 : 2 + one[1]]).num for one in batch.points], batch.invalid_rows


@pytest.mark.parametrize("kind", ["list", "object", "both"])
@pytest.mark.parametrize("innermost", [1, [], {}, "x" * 3000], ids=["number", "list", "object", "text"])
def test_the_last_depth_that_a_server_survives_passes(kind: str, innermost: Any) -> None:
    deepest = MAX_LEVELS - levels(innermost)
    depths = [1, 60, deepest, deepest + 1, 126, 150]
    points = [point(number, nested(kind, depth, innermost)) for number, depth in enumerate(depths)]
    copied, invalid = read(*points)
    assert copied == [0, 1, 2]
    assert [(row.key, row.point, row.position) for row in invalid] == [(str(key), str(key), 3) for key in (3, 4, 5)]
    assert f"'deep' is nested {depths[4] + levels(innermost)} deep" in invalid[1].reason


VALUES = st.recursive(
    st.just(1) | st.text(":2\n*", max_size=300),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(":2\n", max_size=4), inner, max_size=4),
)


@given(VALUES, VALUES, st.sampled_from(["list", "object", "both"]), st.integers(100, 126))
def test_no_depth_is_overlooked_or_made_up(before: Any, innermost: Any, kind: str, depth: int) -> None:
    value = [before, nested(kind, depth, innermost), before]
    copied, invalid = read(point(7, value))
    assert (copied, len(invalid)) == (([], 1) if levels(value) > MAX_LEVELS else ([7], 0))
    for row in invalid:
        assert f"nested {levels(value)} deep" in row.reason


def test_deep_points_are_compared_at_every_level() -> None:
    compare = PointComparison(api.CollectionInfo()).difference
    one, other = ({"a": 1, "b": [1, "text"]}, {"b": [1, "text"], "a": 1})
    assert compare(point(1, nested("both", 100, one), 3), point(1, nested("both", 100, other), 3)) is None
    changed = compare(point(1, nested("list", 100, "x"), 3), point(1, nested("list", 100, "y"), 3))
    assert changed == f"payload 'deep'{'[0]' * 100}: 'x' ≠ 'y'"
    assert compare(point(1, nested("list", 99), 3), point(1, nested("list", 100), 3)) is not None
    longer = compare(point(1, nested("list", 90, [1]), 3), point(1, nested("list", 90, [1, 1]), 3))
    assert longer == f"payload 'deep'{'[0]' * 90}: a list of 1 ≠ one of 2"


def test_a_deep_value_is_no_shard_key() -> None:
    value = payload_value(point(1, nested("list", 100), 3), "deep")
    assert value is not None
    assert value.WhichOneof("kind") == "list_value"
