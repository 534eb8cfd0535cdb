"""The target equals the source: every kind of vector, id and payload."""

import random
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from qdrant_client import grpc as api

from tests.support.collections import (
    PointIds,
    contents,
    create,
    dense,
    dense_params,
    dense_vector,
    exists,
    fill,
    multi_vector,
    named,
    named_params,
    point,
    simple_points,
    sparse_vector,
)
from tests.support.command import Run
from tests.support.ends import Ends
from tests.support.migrations import fill_source

WORDS = api.SparseVectorConfig(map={"words": api.SparseVectorParams()})
COLOURS = api.VectorParams(
    size=3,
    distance=api.Dot,
    multivector_config=api.MultiVectorConfig(comparator=api.MaxSim),
)


def assert_arrived(ends: Ends, points: int) -> None:
    """Check that source and target have the same points, byte for byte, and this many."""
    there = contents(ends.source, ends.source_name)
    assert len(there) == points
    assert contents(ends.target, ends.target_name) == there


def test_a_collection_arrives_as_it_is(ends: Ends, migrate: Run) -> None:
    fill_source(ends, 3000)

    result = migrate("-c", "--chunk-size", "700")

    assert result.returncode == 0, result.stderr
    assert "all 3,000 points are in the target" in result.stdout
    assert_arrived(ends, 3000)


DENSE = {
    "dot": dense_params(8),
    "cosine": dense_params(8, api.Cosine),
    "float16": dense_params(8, api.Euclid, datatype=api.Float16),
    "uint8": dense_params(8, api.Manhattan, datatype=api.Uint8),
    "uint8 and cosine": dense_params(8, api.Cosine, datatype=api.Uint8),
    "on disk and quantized": dense_params(
        8,
        api.Cosine,
        on_disk=True,
        quantization_config=api.QuantizationConfig(scalar=api.ScalarQuantization(type=api.Int8)),
    ),
}


@pytest.mark.parametrize("params", DENSE.values(), ids=DENSE)
def test_an_unnamed_vector_arrives_bit_for_bit(ends: Ends, migrate: Run, params: api.VectorsConfig) -> None:
    numbers = random.Random(1)
    create(ends.source, ends.source_name, params)
    whole = params.params.datatype == api.Uint8
    points = [
        point(key, dense([numbers.randint(0, 255) if whole else numbers.gauss(0, 1) for _ in range(8)]))
        for key in range(500)
    ]
    fill(ends.source, ends.source_name, points)

    result = migrate("-c", "--chunk-size", "200")

    assert result.returncode == 0, result.stderr
    assert_arrived(ends, 500)


def test_float32_at_its_limits_arrives(ends: Ends, migrate: Run) -> None:
    create(ends.source, ends.source_name, dense_params(4))
    limits = [0.0, -0.0, 1.1754943508222875e-38, 3.4028234663852886e38, 1e-45, -1.5, 1 / 3, 16777217.0]
    fill(ends.source, ends.source_name, [point(1, dense(limits[:4])), point(2, dense(limits[4:]))])

    result = migrate("-c")

    assert result.returncode == 0, result.stderr
    assert_arrived(ends, 2)


def every_kind_of_vector(numbers: random.Random) -> dict[str, api.Vector]:
    return {
        "title": dense_vector(*(numbers.gauss(0, 1) for _ in range(4))),
        "image": dense_vector(*(numbers.gauss(0, 1) for _ in range(6))),
        "half": dense_vector(*(numbers.gauss(0, 1) for _ in range(4))),
        "byte": dense_vector(*(numbers.randint(0, 255) for _ in range(4))),
        "words": sparse_vector({index: numbers.random() for index in numbers.sample(range(10_000), 5)}),
        "colours": multi_vector(*([numbers.gauss(0, 1) for _ in range(3)] for _ in range(numbers.randint(1, 5)))),
    }


def create_with_every_kind(ends: Ends) -> None:
    vectors = named_params(
        title=api.VectorParams(size=4, distance=api.Cosine),
        image=api.VectorParams(size=6, distance=api.Dot, on_disk=True),
        half=api.VectorParams(size=4, distance=api.Euclid, datatype=api.Float16),
        byte=api.VectorParams(size=4, distance=api.Dot, datatype=api.Uint8),
        colours=COLOURS,
    )
    create(ends.source, ends.source_name, vectors, sparse_vectors_config=WORDS)


def test_named_sparse_and_multivectors_arrive_together(ends: Ends, migrate: Run) -> None:
    numbers = random.Random(2)
    create_with_every_kind(ends)
    points = [point(key, named(**every_kind_of_vector(numbers)), {"key": key}) for key in range(600)]
    fill(ends.source, ends.source_name, points)

    result = migrate("-c", "--chunk-size", "250")

    assert result.returncode == 0, result.stderr
    assert_arrived(ends, 600)


def test_points_that_lack_some_or_all_of_their_vectors_arrive(ends: Ends, migrate: Run) -> None:
    numbers = random.Random(3)
    create_with_every_kind(ends)
    points = []
    for key in range(300):
        vectors = every_kind_of_vector(numbers)
        kept = {name: vector for name, vector in vectors.items() if numbers.random() < 0.5}
        points.append(point(key, named(**kept), {"vectors": sorted(kept)}))
    points += [point(key) for key in range(300, 310)]
    fill(ends.source, ends.source_name, points)

    result = migrate("-c", "--chunk-size", "100")

    assert result.returncode == 0, result.stderr
    assert_arrived(ends, 310)


def test_a_point_without_its_unnamed_vector_arrives(ends: Ends, migrate: Run) -> None:
    create(ends.source, ends.source_name, dense_params())
    fill(ends.source, ends.source_name, [point(1, payload={"vector": None}), *simple_points(5, start=2)])

    result = migrate("-c")

    assert result.returncode == 0, result.stderr
    assert_arrived(ends, 6)


def test_a_sparse_vector_alone_and_an_empty_one_arrive(ends: Ends, migrate: Run) -> None:
    create(ends.source, ends.source_name, sparse_vectors_config=WORDS)
    values = [{}, {0: 1.0}, {2**32 - 1: -0.5, 7: 1e-30}]
    fill(ends.source, ends.source_name, [point(k, named(words=sparse_vector(v))) for k, v in enumerate(values)])

    result = migrate("-c")

    assert result.returncode == 0, result.stderr
    assert_arrived(ends, 3)


def test_a_collection_without_vectors_arrives(ends: Ends, migrate: Run) -> None:
    create(ends.source, ends.source_name)
    fill(ends.source, ends.source_name, [point(key, payload={"number": key}) for key in range(400)])

    result = migrate("-c", "--chunk-size", "150")

    assert result.returncode == 0, result.stderr
    assert_arrived(ends, 400)


def test_every_kind_of_id_arrives_over_several_chunks(ends: Ends, migrate: Run) -> None:
    numbers = random.Random(4)
    keys: set[PointIds] = {0, 1, 2**31, 2**32, 2**63 - 1, 2**63, 2**63 + 1, 2**64 - 2, 2**64 - 1}
    keys |= {numbers.getrandbits(64) for _ in range(300)}
    keys |= {str(uuid.UUID(int=0)), str(uuid.UUID(int=2**128 - 1)), str(uuid.UUID(int=1))}
    keys |= {str(uuid.UUID(int=numbers.getrandbits(128))) for _ in range(300)}
    create(ends.source, ends.source_name, dense_params(2))
    points = [point(key, dense([1.0, 2.0]), {"key": str(key)}) for key in sorted(keys, key=str)]
    fill(ends.source, ends.source_name, points)

    result = migrate("-c", "--chunk-size", "40", "-b", "9")

    assert result.returncode == 0, result.stderr
    assert_arrived(ends, len(keys))


def deep(levels: int) -> Any:
    value: Any = "bottom"
    for level in range(levels):
        value = {"deeper": value} if level % 2 else [value, level]
    return value


PAYLOADS: list[dict[str, Any]] = [
    {},
    {"null": None, "true": True, "false": False},
    {"one": 1, "one point zero": 1.0, "zero": 0, "minus zero": -0.0, "tenth": 0.1},
    {"most": 2**63 - 1, "least": -(2**63), "double": 2.0**63, "tiny": 5e-324, "huge": 1.7976931348623157e308},
    {
        "": "an empty key",
        "empty": "",
        "empty list": [],
        "empty object": {},
        "list of empties": [{}, [], "", None],
    },
    {"größe": "ß", "ключ": "значение", "键": "值", "🗝": "🦀", "e\u0301": "combining", "\u202e": "rtl"},
    {"a.b": 1, "a": {"b": 2, "": {"": 3}}, "a[]": [1], "a[0]": 0, 'quote"': "'", "back\\slash": "\\n"},
    {"control": "\x00\x01\t\r\n\x1f\x7f", "spaces": "  ", "line\nbreak": "\u2028"},
    {"mixed": [1, 1.0, "1", True, None, [1, [2, [3]]], {"x": [{"y": [None]}]}]},
    {"deep": deep(34)},
    {"geo": {"lon": 13.4, "lat": 52.5}, "date": "2026-11-23T07:00:00Z", "uuid": str(uuid.UUID(int=7))},
    {f"key {number}": number for number in range(300)},
    {"long": "x" * 100_000, "k" * 5000: "a long key"},
]


def test_payloads_of_every_kind_arrive(ends: Ends, migrate: Run) -> None:
    create(ends.source, ends.source_name, dense_params(2))
    points = [point(key, dense([0.0, 1.0]), payload) for key, payload in enumerate(PAYLOADS)]
    fill(ends.source, ends.source_name, points)

    result = migrate("-c")

    assert result.returncode == 0, result.stderr
    assert_arrived(ends, len(PAYLOADS))
    arrived = contents(ends.target, ends.target_name)
    for sent in points:
        assert api.RetrievedPoint.FromString(arrived[str(sent.id.num)]).payload == sent.payload


def test_an_empty_source_makes_an_empty_target(ends: Ends, migrate: Run) -> None:
    create(ends.source, ends.source_name, dense_params())

    result = migrate("-c")

    assert result.returncode == 0, result.stderr
    assert exists(ends.target, ends.target_name)
    assert_arrived(ends, 0)


def test_one_point_arrives(ends: Ends, migrate: Run) -> None:
    create(ends.source, ends.source_name, dense_params())
    fill(ends.source, ends.source_name, [point(2**64 - 1, dense([1.0, 2.0, 3.0, 4.0]), {"alone": True})])

    result = migrate("-c")

    assert result.returncode == 0, result.stderr
    assert_arrived(ends, 1)


@pytest.mark.parametrize("arguments", [["-b", "1"], ["-b", "7"], ["--batch-bytes", "1"], ["--batch-bytes", "700"]])
def test_batches_of_any_size_carry_every_point(ends: Ends, migrate: Run, arguments: list[str]) -> None:
    fill_source(ends, 300)

    result = migrate("-c", "--chunk-size", "100", *arguments)

    assert result.returncode == 0, result.stderr
    assert_arrived(ends, 300)


def test_points_of_many_megabytes_arrive(ends: Ends, migrate: Run) -> None:
    """A point larger than a batch, one larger than gRPC's usual limit, and small ones between them."""
    create(ends.source, ends.source_name, dense_params())
    sizes = {3: 700_000, 50: 6_000_000, 51: 100, 52: 9_000_000}
    for key in range(120):
        small = simple_points(1, start=key)[0]
        if key in sizes:
            small.payload["text"].string_value = "ü" * (sizes[key] // 2)
        fill(ends.source, ends.source_name, [small])

    result = migrate("-c", "--chunk-size", "60")

    assert result.returncode == 0, result.stderr
    assert_arrived(ends, 120)


def test_a_point_of_40_megabytes_arrives(ends: Ends, migrate: Run) -> None:
    create(ends.source, ends.source_name, dense_params())
    large = simple_points(1)[0]
    large.payload["text"].string_value = "x" * 40_000_000
    fill(ends.source, ends.source_name, [large])
    fill(ends.source, ends.source_name, simple_points(10, start=1))

    result = migrate("-c")

    assert result.returncode == 0, result.stderr
    assert_arrived(ends, 11)


def test_chunks_of_one_point_each_lose_none_at_their_edges(ends: Ends, migrate: Run) -> None:
    fill_source(ends, 40)

    result = migrate("-c", "--chunk-size", "1")

    assert result.returncode == 0, result.stderr
    assert "  40 chunks" in result.stdout
    assert_arrived(ends, 40)


def test_chunks_that_became_empty_after_the_plan_are_no_harm(
    ends: Ends, migrate: Run, plan_only: Callable[..., None]
) -> None:
    fill_source(ends, 300)
    plan_only("-c", "--chunk-size", "50")
    request = api.DeletePoints(
        collection_name=ends.source_name,
        wait=True,
        points=api.PointsSelector(
            points=api.PointsIdsList(ids=[api.PointId(num=key) for key in [*range(120), *range(180, 300)]])
        ),
    )
    ends.source.call(ends.source.points.Delete, request)

    result = migrate("-c")

    assert result.returncode == 0, result.stderr
    assert "  6 chunks" in result.stdout
    assert_arrived(ends, 60)
