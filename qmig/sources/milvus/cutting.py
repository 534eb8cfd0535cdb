"""Where a collection can be cut: Int64 keys by counting ranges, string keys by reading the keys alone."""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

from qmig.sources.milvus.keys import MAX_INT64, MIN_INT64, Key, Keys
from qmig.sources.milvus.ranges import RangeReader

# Sizes of a chunk, in parts of the aim: no range above the first is left whole, no chunk below the second.
MOST, LEAST = 1.25, 0.6
# Parts that a range is cut into at once: few enough to follow where the keys crowd.
MIN_PARTS, MAX_PARTS = 8, 64

# `[first, second)` for each pair, and the rows in it.
Counts = Callable[[Sequence[tuple[int, int]]], Sequence[int]]


def cut_numbers(sample: Sequence[int], total: int, pieces: int, count: Counts) -> list[tuple[int, int]]:
    """Keys that cut `total` numbers, of which `sample` are some, into about `pieces` chunks of about the same size.

    With each key come the rows before it, from the key before.

    A range with too many rows is cut into equal widths, which are counted; those that still have too many are cut
    again, and neighbours with few go together. So every chunk is within twice the aim, unless one key alone has
    more rows.
    """
    aim = max(1.0, total / pieces)
    if not sample:
        return []
    low, high = _extent(sample, count)
    chunks: list[list[int]] = []
    for start, rows in _leaves(low, high, total, aim, count):
        if chunks and (chunks[-1][1] < LEAST * aim or chunks[-1][1] + rows <= MOST * aim):
            chunks[-1][1] += rows
        else:
            chunks.append([start, rows])
    if len(chunks) > 1 and chunks[-1][1] < LEAST * aim:
        del chunks[-1]
    return [(following[0], rows) for (_, rows), following in pairwise(chunks)]


def _extent(sample: Sequence[int], count: Counts) -> tuple[int, int]:
    """A range that holds all rows: as wide as some of their keys lie, and wider while there are more."""
    low, high = min(sample), max(sample) + 1
    wider = high - low
    while low > MIN_INT64 and count([(MIN_INT64, low)])[0]:
        low, wider = max(MIN_INT64, low - wider), 2 * wider
    wider = high - low
    while high <= MAX_INT64 and count([(high, MAX_INT64 + 1)])[0]:
        high, wider = min(MAX_INT64 + 1, high + wider), 2 * wider
    return low, high


def _leaves(low: int, high: int, rows: int, aim: float, count: Counts) -> list[tuple[int, int]]:
    """The range in parts of at most `MOST` times the aim: where each starts, and its rows."""
    if rows <= MOST * aim or high - low == 1:
        return [(low, rows)]
    parts = min(max(MIN_PARTS, round(rows / aim)), MAX_PARTS, high - low)
    edges = [low + (high - low) * part // parts for part in range(parts + 1)]
    ranges = list(pairwise(edges))
    found: list[tuple[int, int]] = []
    for (start, end), inside in zip(ranges, count(ranges), strict=True):
        found += _leaves(start, end, inside, aim, count)
    return found


def cut_strings(
    reader: RangeReader, keys: Keys, part: str | None, size: int, start: Key | None
) -> Iterator[tuple[Key, int]]:
    """A key after every `size` others from `start` on, found by reading all keys once, and the rows before it."""
    before = 0
    for page in reader.pages(part, start, None):
        for key in page.keys:
            if before >= size and keys.is_safe(key):
                yield key, before
                before = 0
            before += 1
