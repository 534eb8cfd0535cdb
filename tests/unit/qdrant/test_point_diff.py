"""Two points are equal if the target had to store the source's point like this, and only then."""

import math
import random
import struct
from typing import Any

import numpy as np
import pytest

from qmig.qdrant import messages as api
from qmig.qdrant.encoding import varint
from qmig.qdrant.passthrough import read_get, split
from qmig.qdrant.payload import to_payload
from qmig.qdrant.point_diff import PointComparison
from tests.support.collections import (
    dense,
    dense_params,
    dense_vector,
    multi_vector,
    named,
    named_params,
    sparse_vector,
)
from tests.support.random_points import a_point, as_point_struct

SEEDS = range(60)
NAN, INF = math.nan, math.inf


def collection(vectors: api.VectorsConfig | None = None) -> api.CollectionInfo:
    info = api.CollectionInfo()
    info.config.params.vectors_config.CopyFrom(vectors or dense_params())
    return info


def difference(
    source: api.PointStruct, target: api.PointStruct, info: api.CollectionInfo | None = None
) -> str | None:
    comparison = PointComparison(info or collection())
    return comparison.difference(source.SerializeToString(), target.SerializeToString())


def with_payload(**payload: Any) -> api.PointStruct:
    return api.PointStruct(id=api.PointId(num=1), payload=to_payload(payload))


def with_vectors(vectors: api.Vectors) -> api.PointStruct:
    return api.PointStruct(id=api.PointId(num=1), vectors=vectors)


def shuffled(message: bytes, number: int, numbers: random.Random) -> bytes:
    """The fields with this number in another order."""
    fields = split(message)
    moved = [field for field in fields if field[0] >> 3 == number]
    numbers.shuffle(moved)
    return b"".join(moved.pop() if field[0] >> 3 == number else field for field in fields)


def reordered(value: api.Value, numbers: random.Random) -> bytes:
    """A value's bytes with every struct in it in an order that no Python message would give it."""
    kind = value.WhichOneof("kind")
    if kind == "list_value":
        items = [reordered(item, numbers) for item in value.list_value.values]
        return a_field(7, b"".join(a_field(1, item) for item in items))
    if kind != "struct_value":
        return value.SerializeToString()
    items = [entry(key, reordered(item, numbers)) for key, item in value.struct_value.fields.items()]
    numbers.shuffle(items)
    return a_field(6, b"".join(a_field(1, item) for item in items))


def a_field(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def entry(key: str, value: bytes) -> bytes:
    return a_field(1, key.encode()) + a_field(2, value)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_point_is_itself_in_whatever_order_its_maps_come(seed: int) -> None:
    numbers = random.Random(seed)
    point = as_point_struct(a_point(numbers))
    payload = [a_field(3, entry(key, reordered(value, numbers))) for key, value in point.payload.items()]
    numbers.shuffle(payload)
    named_vectors = list(point.vectors.vectors.vectors.items())
    numbers.shuffle(named_vectors)
    vectors = point.vectors.SerializeToString()
    if point.vectors.WhichOneof("vectors_options") == "vectors":
        entries = [a_field(1, entry(name, vector.SerializeToString())) for name, vector in named_vectors]
        vectors = a_field(2, b"".join(entries))
    other = a_field(1, point.id.SerializeToString()) + b"".join(payload)
    if point.HasField("vectors"):
        other += a_field(4, vectors)

    assert api.PointStruct.FromString(other) == point
    assert PointComparison(collection()).difference(point.SerializeToString(), other) is None
    assert PointComparison(collection()).difference(other, point.SerializeToString()) is None


@pytest.mark.parametrize("seed", SEEDS)
def test_two_random_points_differ_where_their_messages_do(seed: int) -> None:
    numbers = random.Random(seed)
    one, other = (as_point_struct(a_point(numbers)) for _ in range(2))
    other.id.CopyFrom(one.id)
    assert one != other
    assert difference(one, other) is not None


@pytest.mark.parametrize("seed", SEEDS)
def test_one_value_changed_anywhere_is_seen_and_named(seed: int) -> None:
    numbers = random.Random(seed)
    point = as_point_struct(a_point(numbers))
    point.payload["the one"].integer_value = 5
    changed = api.PointStruct.FromString(point.SerializeToString())
    changed.payload["the one"].integer_value = 6
    message = shuffled(changed.SerializeToString(), 3, numbers)
    found = PointComparison(collection()).difference(point.SerializeToString(), message)
    assert found == "payload 'the one': 5 ≠ 6"


@pytest.mark.parametrize(
    ("source", "target", "found"),
    [
        ({"price": 1}, {"price": 1.0}, "payload 'price': 1 ≠ 1.0"),
        ({"price": True}, {"price": 1}, "payload 'price': true ≠ 1"),
        ({"price": "1"}, {"price": 1}, "payload 'price': '1' ≠ 1"),
        ({"price": None}, {}, "payload 'price': null is missing in the target"),
        ({}, {"price": None}, "payload 'price': null is in the target only"),
        ({"a": {"b": [1, {"c": 2}]}}, {"a": {"b": [1, {"c": 3}]}}, "payload 'a'.b[1].c: 2 ≠ 3"),
        ({"a": {"b": 1}}, {"a": {}}, "payload 'a'.b: 1 is missing in the target"),
        ({"a": [1, 2]}, {"a": [2, 1]}, "payload 'a'[0]: 1 ≠ 2"),
        ({"a": [1, 2]}, {"a": [1]}, "payload 'a': a list of 2 ≠ one of 1"),
        ({"a": []}, {"a": {}}, "payload 'a': a list of 0 ≠ an object of 0"),
        ({"a": 2**53}, {"a": 2**53 + 1}, "payload 'a': 9007199254740992 ≠ 9007199254740993"),
        ({"a": 0.5}, {"a": 0.5000000001}, "payload 'a': 0.5 ≠ 0.5000000001"),
        ({"a": NAN}, {"a": 1.0}, "payload 'a': nan ≠ 1.0"),
        ({"a": INF}, {"a": -INF}, "payload 'a': inf ≠ -inf"),
        ({"a": "x" * 100}, {"a": ""}, f"payload 'a': '{'x' * 58}… ≠ ''"),
    ],
)
def test_a_payload_that_differs_is_named_with_both_values(
    source: dict[str, Any], target: dict[str, Any], found: str
) -> None:
    assert difference(with_payload(**source), with_payload(**target)) == found


@pytest.mark.parametrize("nested", [lambda value: value, lambda value: {"in": value}, lambda value: [value]])
@pytest.mark.parametrize(
    ("source", "target"), [(NAN, struct.unpack("<d", b"\1\0\0\0\0\0\xf8\xff")[0]), (0.0, -0.0), (0.1, 0.1 + 2**-56)]
)
def test_nan_zeros_and_last_bits_are_the_same_in_a_payload(source: float, target: float, nested: Any) -> None:
    """Qdrant may change the last bits of a double: 1.18.3 gives one in ten back with another."""
    assert difference(with_payload(a=nested(source)), with_payload(a=nested(target))) is None


def test_an_unset_value_is_null() -> None:
    unset = api.PointStruct(id=api.PointId(num=1), payload={"a": api.Value()})
    assert difference(unset, with_payload(a=None)) is None
    assert difference(unset, with_payload()) is not None


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        (api.Vector(data=[1, 2, 3, 4]), dense_vector(1, 2, 3, 4)),
        (api.Vector(data=[1, 2, 3, 4], vectors_count=2), multi_vector([1, 2], [3, 4])),
        (api.Vector(data=[0.5, 1], indices=api.SparseIndices(data=[3, 7])), sparse_vector({3: 0.5, 7: 1})),
        (api.Vector(data=[1, 0.5], indices=api.SparseIndices(data=[7, 3])), sparse_vector({3: 0.5, 7: 1})),
        (api.Vector(data=[], indices=api.SparseIndices()), sparse_vector({})),
    ],
)
def test_older_and_newer_forms_of_a_vector_are_the_same(older: api.Vector, newer: api.Vector) -> None:
    info = collection(named_params(v=api.VectorParams(size=4)))
    assert difference(with_vectors(named(v=older)), with_vectors(named(v=newer)), info) is None
    assert difference(with_vectors(named(v=newer)), with_vectors(named(v=older)), info) is None


def test_the_unnamed_vector_is_the_one_without_a_name() -> None:
    unnamed, empty_name = api.Vectors(vector=dense_vector(1, 2)), named(**{"": dense_vector(1, 2)})
    assert difference(with_vectors(unnamed), with_vectors(empty_name)) is None
    nothing = api.PointStruct(id=api.PointId(num=1))
    assert difference(nothing, with_vectors(named())) is None
    assert difference(with_vectors(unnamed), nothing) == "the unnamed vector is missing in the target"


@pytest.mark.parametrize(
    ("source", "target", "found"),
    [
        (dense_vector(1, 2), dense_vector(1, 2.5), "vector 'v': 2.0 ≠ 2.5 at 1"),
        (dense_vector(1, 2), dense_vector(0, 0), "vector 'v': 1.0 ≠ 0.0 at 0, and 1 more"),
        (dense_vector(1, 2), dense_vector(1, 2, 3), "vector 'v': 2 numbers ≠ 3 numbers"),
        (dense_vector(1, NAN), dense_vector(NAN, 1), "vector 'v': 1.0 ≠ nan at 0, and 1 more"),
        (multi_vector([1, 2], [3, 4]), multi_vector([1, 2], [3, 5]), "vector 'v': 4.0 ≠ 5.0 at 1 of row 1"),
        (multi_vector([1, 2]), multi_vector([1, 2], [3, 5]), "vector 'v': 2 numbers ≠ 2 rows of 2"),
        (sparse_vector({1: 1}), sparse_vector({1: 2}), "vector 'v': 1.0 ≠ 2.0 at index 1"),
        (sparse_vector({1: 1}), sparse_vector({}), "vector 'v': 1.0 at index 1 is missing in the target"),
        (sparse_vector({}), sparse_vector({3: 1}), "vector 'v': 1.0 at index 3 is in the target only"),
        (sparse_vector({1: 1}), dense_vector(1), "vector 'v': a sparse vector ≠ 1 numbers"),
    ],
)
def test_a_vector_that_differs_is_named_with_the_place(source: api.Vector, target: api.Vector, found: str) -> None:
    info = collection(named_params(v=api.VectorParams(size=2, distance=api.Dot)))
    assert difference(with_vectors(named(v=source)), with_vectors(named(v=target)), info) == found


def test_a_named_vector_more_or_less_is_named() -> None:
    one, two = named(a=dense_vector(1)), named(a=dense_vector(1), b=dense_vector(2))
    assert difference(with_vectors(two), with_vectors(one)) == "vector 'b' is missing in the target"
    assert difference(with_vectors(one), with_vectors(two)) == "vector 'b' is in the target only"


def test_nan_and_zeros_of_a_vector_are_the_same() -> None:
    source, target = dense([NAN, 0.0, INF, 1]), dense([struct.unpack("<f", b"\1\0\xc0\xff")[0], -0.0, INF, 1])
    assert difference(with_vectors(source), with_vectors(target)) is None
    sparse = [with_vectors(named(v=sparse_vector({1: NAN, 2: zero}))) for zero in (0.0, -0.0)]
    assert difference(*sparse) is None


@pytest.mark.parametrize("seed", SEEDS)
def test_only_the_direction_of_a_cosine_vector_counts(seed: int) -> None:
    numbers = np.random.default_rng(seed)
    vector = numbers.normal(size=64).astype(np.float32)
    stored = vector / np.linalg.norm(vector)
    info = collection(dense_params(64, api.Cosine))

    assert difference(with_vectors(dense(vector)), with_vectors(dense(stored)), info) is None
    assert difference(with_vectors(dense(vector * 1e-15)), with_vectors(dense(stored)), info) is None

    aside = numbers.normal(size=64)
    aside -= aside @ stored * stored
    aside /= np.linalg.norm(aside)
    assert difference(with_vectors(dense(vector)), with_vectors(dense(stored + 5e-7 * aside)), info) is None
    found = difference(with_vectors(dense(vector)), with_vectors(dense(stored + 3e-4 * aside)), info)
    assert found == "the unnamed vector: direction differs by 0.0003"
    assert difference(with_vectors(dense(vector)), with_vectors(dense(-stored)), info) is not None
    assert difference(with_vectors(dense(vector)), with_vectors(dense(0 * stored)), info) is not None


def test_a_cosine_vector_of_zeros_or_with_nan_is_itself() -> None:
    info = collection(dense_params(2, api.Cosine))
    for values in ([0.0, 0.0], [NAN, 1.0]):
        assert (
            difference(with_vectors(dense(values)), with_vectors(dense([-0.0 * values[0], values[1]])), info) is None
        )
    assert difference(with_vectors(dense([NAN, 1.0])), with_vectors(dense([1.0, NAN])), info) is not None


@pytest.mark.parametrize("seed", SEEDS)
def test_half_precision_rounds(seed: int) -> None:
    vector = (np.random.default_rng(seed).normal(size=32) * 100).astype(np.float32)
    info = collection(dense_params(32, api.Dot, datatype=api.Float16))
    stored = vector.astype(np.float16).astype(np.float32)
    assert difference(with_vectors(dense(vector)), with_vectors(dense(stored)), info) is None
    stored[3] = np.nextafter(np.float16(stored[3]), np.float16(1000)).astype(np.float32)
    assert difference(with_vectors(dense(vector)), with_vectors(dense(stored)), info) is not None

    cosine = collection(dense_params(32, api.Cosine, datatype=api.Float16))
    half = (vector / np.linalg.norm(vector)).astype(np.float16).astype(np.float32)
    assert difference(with_vectors(dense(vector)), with_vectors(dense(half)), cosine) is None
    again = (half / np.linalg.norm(half)).astype(np.float16).astype(np.float32)
    assert difference(with_vectors(dense(half)), with_vectors(dense(again)), cosine) is None
    half[5] += 0.01
    assert difference(with_vectors(dense(vector)), with_vectors(dense(half)), cosine) is not None


@pytest.mark.parametrize("distance", [api.Dot, api.Cosine])
def test_bytes_are_cut_off_and_not_normalised(distance: int) -> None:
    info = collection(dense_params(5, distance, datatype=api.Uint8))
    source = with_vectors(dense([1.9, 255.5, 300.0, -7.0, 0.0]))
    assert difference(source, with_vectors(dense([1, 255, 255, 0, 0])), info) is None
    found = difference(source, with_vectors(dense([2, 255, 255, 0, 0])), info)
    assert found == "the unnamed vector: 1.0 ≠ 2.0 at 0"


def test_a_field_of_a_newer_server_counts() -> None:
    point = with_payload(a=1).SerializeToString()
    newer = point + a_field(9, b"new")
    found = PointComparison(collection()).difference(newer, point)
    assert found == "field 9 of the point, which this qmig does not know"
    assert PointComparison(collection()).difference(newer, a_field(9, b"new") + point) is None


@pytest.mark.parametrize("seed", SEEDS)
def test_points_got_by_their_ids_are_what_the_typed_classes_make_of_them(seed: int) -> None:
    numbers = random.Random(seed)
    answer = api.GetResponse(result=[a_point(numbers) for _ in range(numbers.randrange(8))], time=0.5)
    found = read_get(answer.SerializeToString())
    assert [api.PointStruct.FromString(point) for point in found] == list(map(as_point_struct, answer.result))
