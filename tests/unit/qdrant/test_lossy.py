"""What a copy between two Qdrants changes is known before, and compared as far as it can be."""

from struct import pack
from typing import Any

import pytest
from qdrant_client import grpc as api

from qmig.qdrant.lossy import BIG, requantized_notices, uncompared_notices
from qmig.qdrant.payload import fill_value
from qmig.qdrant.point_diff import PointComparison


def collection(**vectors: api.VectorParams) -> api.CollectionInfo:
    info = api.CollectionInfo()
    for name, params in vectors.items():
        info.config.params.vectors_config.params_map.map[name].CopyFrom(params)
    return info


TURBO = collection(
    dot=api.VectorParams(size=2, distance=api.Dot, datatype=api.Turbo4),
    euclid=api.VectorParams(size=2, distance=api.Euclid, datatype=api.Turbo8),
    cosine=api.VectorParams(size=2, distance=api.Cosine, datatype=api.Turbo4),
    plain=api.VectorParams(size=2, distance=api.Dot),
)


def test_vectors_that_every_write_changes_are_told_with_the_ways_out() -> None:
    lines = requantized_notices(TURBO)
    assert [line.split()[1] for line in lines] == ["'cosine'", "'dot'", "'euclid'"]
    assert ["some vectors" in line for line in lines] == [True, False, False]
    assert all("float32" in line and "snapshot" in line for line in lines)
    assert [line.split()[1] for line in uncompared_notices(TURBO)] == ["'cosine'", "'dot'", "'euclid'"]
    assert requantized_notices(collection(v=api.VectorParams(size=2, distance=api.Dot))) == []


def a_point(*numbers: float) -> bytes:
    point = api.PointStruct(id=api.PointId(num=1))
    point.vectors.vectors.vectors["dot"].dense.data.extend(numbers)
    return point.SerializeToString()


def test_a_requantised_vector_counts_as_equal_and_another_one_does_not() -> None:
    difference = PointComparison(TURBO).difference
    assert difference(a_point(3, 4), a_point(3.3, 4.4)) is None
    assert difference(a_point(3, 4), a_point(4, 3)) is not None
    assert difference(a_point(3, 4), a_point(3, float("nan"))) is not None


@pytest.mark.parametrize(
    ("value", "is_big"),
    [
        (2.0**63, True),
        (2.0**64, True),
        (1.5 * 2.0**63, True),
        ([1, {"a": 2.0**63}], True),
        ({"a": [2.0**64]}, True),
        (2.0**63 - 1024, False),
        (2.0**64 * (1 + 2.0**-52), False),
        (-(2.0**63), False),
        (2**63 - 1, False),
        (0.5, False),
        ("11" * 50, False),
        ([0.1 * number for number in range(500)], False),
    ],
    ids=repr,
)
def test_doubles_that_may_be_integers_are_found_on_the_wire(value: Any, is_big: bool) -> None:
    message = api.Value()
    fill_value(message, value)
    assert bool(BIG.search(message.SerializeToString())) == is_big


def test_the_bytes_of_a_text_are_no_number() -> None:
    packed = pack("<d", 2.0**64 - 2048).decode("latin-1")
    assert not BIG.search(api.Value(string_value=packed).SerializeToString())
