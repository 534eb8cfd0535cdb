"""The plan covers the whole key space, in chunks of about the wanted size."""

import random
from bisect import bisect_left
from collections.abc import Iterator
from itertools import pairwise
from typing import cast

import pytest

from qmig.coordinator.plan import LARGE_PLAN_CHUNKS, MIN_CHUNK_SIZE, cut, default_chunk_size, plan_size
from qmig.jobs.reconciliation import holes
from qmig.ledger.records import ChunkRecord
from qmig.qdrant.batch import Boundary
from qmig.qdrant.keys import PointKey
from qmig.sources.base import Source

MIGRATION = "6f1b9c52-98a5-5a36-9f0b-64a1d2a0c6d1"
NOT_ALL_KEYS = "do not cover all keys: the first start and the last end must be open"


class Collection:
    """Keys by partition, cut by sampling like those of a Qdrant; the count that a plan sees may be off."""

    def __init__(self, partitions: dict[str | None, list[int]], off: float = 1.0) -> None:
        self.keys = {partition: sorted(keys) for partition, keys in partitions.items()}
        self._off = off
        self._numbers = random.Random(5)

    def partitions(self) -> list[str | None]:
        return list(self.keys)

    def count(self, partition: str | None, exact: bool) -> int:
        return len(self.keys[partition]) if exact else int(len(self.keys[partition]) * self._off)

    def boundaries(self, partition: str | None, pieces: int, start: str | None) -> Iterator[Boundary]:
        keys = self.keys[partition]
        if pieces < 2 or not keys:
            return
        sample = sorted(self._numbers.sample(keys, min(len(keys), 50 * pieces)))
        cuts = {sample[len(sample) * piece // pieces] for piece in range(1, pieces)}
        for key in sorted(cuts):
            if start is None or key > int(start):
                yield Boundary(str(key), len(keys) // (len(cuts) + 1))


def make_plan(collection: Collection, chunk_size: int | None, last: ChunkRecord | None = None) -> list[ChunkRecord]:
    source = cast("Source", collection)
    return list(cut(source, plan_size(source, chunk_size), MIGRATION, last))


def plan_of(collection: Collection, chunk_size: int | None) -> list[tuple[str | None, str | None, str | None]]:
    chunks = make_plan(collection, chunk_size)
    assert [chunk.index for chunk in chunks] == list(range(len(chunks)))
    return [(chunk.partition, chunk.start, chunk.end) for chunk in chunks]


def sizes(collection: Collection, chunks: list[tuple[str | None, str | None, str | None]]) -> list[int]:
    """Keys in each chunk."""
    found = []
    for partition, start, end in chunks:
        keys = collection.keys[partition]
        first = 0 if start is None else bisect_left(keys, int(start))
        last = len(keys) if end is None else bisect_left(keys, int(end))
        found.append(last - first)
    return found


@pytest.mark.parametrize("off", [0.0, 0.3, 1.0, 4.0])
@pytest.mark.parametrize("chunk_size", [None, 1, 7, 100, 10**9])
def test_no_key_falls_between_two_chunks(chunk_size: int | None, off: float) -> None:
    numbers = random.Random(1)
    collection = Collection(
        {
            None: [numbers.getrandbits(64) for _ in range(300)],
            '"eu"': [numbers.randrange(100) for _ in range(90)],
            "7": [42],
            '"empty"': [],
        },
        off,
    )
    chunks = plan_of(collection, chunk_size)

    for partition in collection.partitions():
        edges = [(start, end) for chunk_partition, start, end in chunks if chunk_partition == partition]
        assert edges[0][0] is None
        assert edges[-1][1] is None
        for (_, end), (start, _) in pairwise(edges):
            assert end is not None
            assert end == start
        cuts = [PointKey(start) for start, _ in edges[1:] if start is not None]
        assert cuts == sorted(set(cuts))
    assert sum(sizes(collection, chunks)) == sum(map(len, collection.keys.values()))


def test_chunks_are_of_about_the_wanted_size() -> None:
    numbers = random.Random(2)
    # Most ids are at one end, so that equal ranges of ids would make unequal chunks.
    collection = Collection({None: sorted({int(numbers.lognormvariate(20, 6)) for _ in range(40_000)})})
    chunks = plan_of(collection, 1000)
    found = sizes(collection, chunks)

    assert 0.9 * len(collection.keys[None]) / 1000 <= len(chunks) <= 1.1 * len(collection.keys[None]) / 1000
    assert max(found) <= 2000
    assert min(found) >= 400


def test_chunks_know_what_they_aim_at() -> None:
    collection = Collection({None: list(range(1000)), '"eu"': list(range(10)), '"empty"': []})
    chunks = make_plan(collection, 100)

    assert [chunk.expected for chunk in chunks] == [100] * 10 + [10, 0]
    assert {chunk.migration for chunk in chunks} == {MIGRATION}


@pytest.mark.parametrize("recorded", range(1, 14))
def test_a_plan_that_was_begun_is_continued_without_a_hole(recorded: int) -> None:
    """The recorded chunks stay, and only the boundaries after them are sampled again."""
    collection = Collection({None: list(range(1000)), '"eu"': list(range(300)), '"empty"': []})
    begun = make_plan(collection, 100)
    assert len(begun) == 14

    chunks = begun[:recorded] + make_plan(collection, 100, begun[recorded - 1])

    assert [chunk.index for chunk in chunks] == list(range(len(chunks)))
    assert {chunk.partition for chunk in chunks} == set(collection.partitions())
    assert holes(chunks) == []


def test_a_hole_in_a_plan_is_found() -> None:
    chunks = make_plan(Collection({None: list(range(1000)), '"eu"': list(range(10))}), 100)

    assert holes(chunks) == []
    assert holes(chunks[:4] + chunks[5:]) == ["chunks 4 and 6 do not meet: one must start where the other ends"]
    assert holes(chunks[1:]) == [f"chunks 2 to 10 {NOT_ALL_KEYS}"]
    assert holes(chunks[:9] + chunks[10:]) == [f"chunks 1 to 9 {NOT_ALL_KEYS}"]


@pytest.mark.parametrize("points", [0, 1, 4999, 5000, 5001, 10**5, 10**6, 10**7, 10**8, 10**9, 10**10])
def test_the_default_makes_neither_tiny_chunks_nor_a_flood_of_them(points: int) -> None:
    size = default_chunk_size(points)
    assert size >= MIN_CHUNK_SIZE
    assert points / size <= LARGE_PLAN_CHUNKS
    if points >= 20 * MIN_CHUNK_SIZE:
        assert points / size >= 19, "too few chunks to spread over a fleet"


def test_a_small_collection_is_one_chunk() -> None:
    assert plan_of(Collection({None: list(range(4000))}), None) == [(None, None, None)]
    assert plan_of(Collection({None: []}), None) == [(None, None, None)]
