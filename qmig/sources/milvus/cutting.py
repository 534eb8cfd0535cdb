"""Cut a collection into chunks: Int64 keys by counting ranges, string keys by reading the keys alone."""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

from qmig.sources.milvus.keys import MAX_INT64, MIN_INT64, Key, Keys
from qmig.sources.milvus.ranges import RangeReader

#: Largest and smallest chunk, as multiples of the size that is aimed at.
MAX_SIZE, MIN_SIZE = 1.25, 0.6
#: Parts that a range is cut into at once.
MIN_PARTS, MAX_PARTS = 8, 64

#: Counts the rows in each range `[first, second)`.
Counts = Callable[[Sequence[tuple[int, int]]], Sequence[int]]


def cut_numbers(sample: Sequence[int], total: int, pieces: int, count: Counts) -> list[tuple[int, int]]:
    """Find keys that cut `total` rows into about `pieces` chunks of equal size; `sample` holds some of their keys.

    Each key comes with the number of rows between the key before and this one.

    A range with too many rows is cut into parts of equal width, whose rows are counted. Parts with still too many
    rows are cut again, and neighbours with few rows are joined. So no chunk has more than twice the rows that are
    aimed at, unless one key alone has more.
    """
    aim = max(1.0, total / pieces)
    if not sample:
        return []
    low, high = _extent(sample, count)
    chunks: list[list[int]] = []
    for start, rows in _leaves(low, high, total, aim, count):
        if chunks and (chunks[-1][1] < MIN_SIZE * aim or chunks[-1][1] + rows <= MAX_SIZE * aim):
            chunks[-1][1] += rows
        else:
            chunks.append([start, rows])
    if len(chunks) > 1 and chunks[-1][1] < MIN_SIZE * aim:
        del chunks[-1]
    return [(following[0], rows) for (_, rows), following in pairwise(chunks)]


def _extent(sample: Sequence[int], count: Counts) -> tuple[int, int]:
    """Find a range that holds all rows: that of the sample, widened while rows lie outside."""
    low, high = min(sample), max(sample) + 1
    wider = high - low
    while low > MIN_INT64 and count([(MIN_INT64, low)])[0]:
        low, wider = max(MIN_INT64, low - wider), 2 * wider
    wider = high - low
    while high <= MAX_INT64 and count([(high, MAX_INT64 + 1)])[0]:
        high, wider = min(MAX_INT64 + 1, high + wider), 2 * wider
    return low, high


def _leaves(low: int, high: int, rows: int, aim: float, count: Counts) -> list[tuple[int, int]]:
    """Cut the range into parts of at most `MAX_SIZE` times the aim; yield the start of each and its rows."""
    if rows <= MAX_SIZE * aim or high - low == 1:
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
    """Read all keys from `start` on once, and yield a key after every `size` of them with the rows before it."""
    before = 0
    for page in reader.pages(part, start, None):
        for key in page.keys:
            if before >= size and keys.is_safe(key):
                yield key, before
                before = 0
            before += 1
