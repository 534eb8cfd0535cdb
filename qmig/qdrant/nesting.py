"""Find payloads nested deeper than a server survives, on the wire and without decoding them.

Qdrant takes such a point, answers `Completed`, and does not start again: its log of writes cannot be read (`Can't
read WAL: RecursionLimitExceeded`; measured on 1.19.0 with lists, objects and both).
"""

from collections.abc import Iterator

from qmig.qdrant.encoding import FIELD_1, FIELD_2, LIST, MAX_LEVELS, PAYLOAD, STRUCT, varint
from qmig.qdrant.passthrough import fields


def _smallest_sizes() -> list[int]:
    """The size of the smallest `Value` with each number of levels: lists of one item, the last of them empty."""
    sizes = [0, 2]
    while len(sizes) < MAX_LEVELS + 2:
        items = 1 + len(varint(sizes[-1])) + sizes[-1]
        sizes.append(1 + len(varint(items)) + items)
    return sizes


SMALLEST_SIZES = _smallest_sizes()


def too_deep(point: bytes) -> tuple[str, int] | None:
    """The payload key of a `PointStruct` that is nested too deep, and its levels; None where there is none."""
    for tag, start, end in fields(point, 0, len(point)):
        if tag == PAYLOAD[0] and end - start >= SMALLEST_SIZES[-1]:
            levels, name = 0, ""
            for part, first, last in fields(point, start, end):
                if part == FIELD_1[0]:
                    name = point[first:last].decode(errors="replace")
                elif part == FIELD_2[0]:
                    levels = _levels(point, first, last)
            if levels > MAX_LEVELS:
                return name, levels
    return None


def _levels(point: bytes, start: int, end: int) -> int:
    """Count the levels of a value as far as they matter: what is too small to be too deep is not looked into."""
    deepest = 0
    left = [(start, end, 0)]
    while left:
        start, end, depth = left.pop()
        for tag, first, last in fields(point, start, end):
            if tag not in (LIST[0], STRUCT[0]):
                continue
            deepest = max(deepest, depth + 1)
            needed = SMALLEST_SIZES[max(0, MAX_LEVELS - depth)]
            left += [(*item, depth + 1) for item in _items(point, tag, first, last, needed)]
    return deepest


def _items(point: bytes, tag: int, start: int, end: int, smallest: int) -> Iterator[tuple[int, int]]:
    """The values in a list or an object that have at least the smallest size."""
    while start < end:
        # Most items are short: they are passed over quickly.
        if (length := point[start + 1]) < min(smallest, 128):
            start += 2 + length
            continue
        _, first, start = next(fields(point, start, end))
        values = [(first, start)]
        if tag == STRUCT[0]:
            values = [(value, last) for part, value, last in fields(point, first, start) if part == FIELD_2[0]]
        yield from (value for value in values if value[1] - value[0] >= smallest)
