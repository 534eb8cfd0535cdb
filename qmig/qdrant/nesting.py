"""Find payloads nested deeper than a server survives, on the wire and without decoding them.

Qdrant takes such a point, answers `Completed`, and does not start again: its log of writes cannot be read (`Can't
read WAL: RecursionLimitExceeded`; measured on 1.19.0 with lists, objects and both).
"""

from collections.abc import Iterator

from qmig.qdrant.encoding import FIELD_1, FIELD_2, LIST, PAYLOAD, STRUCT, varint
from qmig.qdrant.passthrough import fields

#: Lists and objects within each other, under one payload key, with which a server starts again.
MAX_LEVELS = 122


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
                elif part == FIELD_2[0] and _may_be_deep(point, first, last):
                    levels = _levels(point, first, last)
            if levels > MAX_LEVELS:
                return name, levels
    return None


def _may_be_deep(point: bytes, start: int, end: int) -> bool:
    """Whether a value has as many tags of lists and objects as it needs; most long values are texts."""
    is_nested = point[start] in (LIST[0], STRUCT[0])
    return is_nested and point.count(LIST, start, end) + point.count(STRUCT, start, end) > MAX_LEVELS


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
            left += [(*item, depth + 1) for item in _items(point, tag, first, last) if item[1] - item[0] >= needed]
    return deepest


def _items(point: bytes, tag: int, start: int, end: int) -> Iterator[tuple[int, int]]:
    """The values in a list or an object."""
    for _, first, last in fields(point, start, end):
        if tag == LIST[0]:
            yield first, last
            continue
        for part, value, value_end in fields(point, first, last):
            if part == FIELD_2[0]:
                yield value, value_end
