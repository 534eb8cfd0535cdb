"""Cutting integer keys: all covered, chunks within twice the aim, few counts."""

import random
from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise

import pytest

from qmig.sources.milvus.cutting import cut_numbers

SPREADS = {
    "even": list(range(0, 100_000)),
    "sparse": list(range(0, 10**12, 10**7)),
    "random": sorted({random.Random(seed).getrandbits(64) - 2**63 for seed in range(100_000)}),
    "crowded": sorted({*range(50_000), *range(2**40, 2**40 + 50_000), -(2**63), 2**63 - 1}),
    "exponential": sorted({int(1.0003**step) for step in range(140_000)}),
}


@pytest.mark.parametrize("spread", SPREADS)
@pytest.mark.parametrize("pieces", [2, 16, 200])
@pytest.mark.parametrize("smallest", [True, False])
def test_chunks_are_within_twice_the_aim(spread: str, pieces: int, smallest: bool) -> None:
    keys = SPREADS[spread]
    counted = 0

    def count(ranges: Sequence[tuple[int, int]]) -> list[int]:
        nonlocal counted
        counted += len(ranges)
        return [bisect_left(keys, end) - bisect_left(keys, start) for start, end in ranges]

    sample = keys[:1000] if smallest else random.Random(2).sample(keys, 1000)
    found = cut_numbers(sample, len(keys), pieces, count)
    cuts = [key for key, _ in found]
    assert cuts == sorted(set(cuts))
    sizes = [after - before for before, after in pairwise([0, *(bisect_left(keys, cut) for cut in cuts), len(keys)])]
    assert [rows for _, rows in found] == sizes[:-1]
    aim = len(keys) / pieces
    assert max(sizes) <= 2 * aim
    assert sum(size < aim / 2 for size in sizes) <= 1
    assert counted <= 200 + 64 * 12 + 12 * pieces


@pytest.mark.parametrize("keys", [[], [5], [-(2**63)], [2**63 - 1]])
def test_hardly_any_keys(keys: list[int]) -> None:
    def count(ranges: Sequence[tuple[int, int]]) -> list[int]:
        return [sum(start <= key < end for key in keys) for start, end in ranges]

    assert cut_numbers(keys, len(keys), 4, count) == []
