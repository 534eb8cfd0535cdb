"""A batch that is too large for one upsert is split, and its invalid rows with it."""

import pytest

from qmig.jobs.copy_chunk import split_batch
from qmig.qdrant.batch import Batch, InvalidRow

# The rows of one read in the order of their keys; capital letters are invalid rows.
ROWS = "AbcDefGhI"


def read(next_key: str | None = "z") -> Batch:
    return Batch.of([InvalidRow(row, row, "why") if row.isupper() else row.encode() for row in ROWS], next_key)


def test_an_invalid_row_knows_its_place_among_the_points() -> None:
    assert [(row.key, row.position) for row in read().invalid_rows] == [("A", 0), ("D", 2), ("G", 4), ("I", 5)]


@pytest.mark.parametrize("sizes", [(5,), (1, 4), (2, 3), (4, 1), (1, 1, 1, 1, 1), (2, 2, 1)], ids=str)
@pytest.mark.parametrize("next_key", ["z", None])
def test_no_row_before_the_offset_is_left_to_a_later_part(sizes: tuple[int, ...], next_key: str | None) -> None:
    batch, parts, start = read(next_key), [], 0
    for size in sizes:
        parts.append(batch.points[start : start + size])
        start += size

    made = list(split_batch(batch, parts, bytes.decode))

    assert [one.points for one in made] == parts
    assert [one.next_key for one in made] == [*(part[0].decode() for part in parts[1:]), next_key]
    recorded = ""
    for one in made:
        recorded += "".join(row.key for row in one.invalid_rows)
        before = [row for row in ROWS if one.next_key in (None, "z") or row.lower() < str(one.next_key)]
        assert recorded == "".join(filter(str.isupper, before))


def test_a_batch_of_invalid_rows_alone_stays_whole() -> None:
    batch = Batch.of([InvalidRow("a", "a", "why"), InvalidRow("b", "b", "why")], "c")
    assert list(split_batch(batch, [[]], bytes.decode)) == [batch]
