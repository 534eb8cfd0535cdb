"""Whatever happened to both ends in mid-run: status 0 and "all" are said only where they are true."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qmig.ledger.records import ChunkRecord
from qmig.ledger.verdict import Outcome, Verdict, judge
from tests.support.end_states import DEFINITION, CopiedChunks, MemorySource, MemoryTarget

# Few keys, so that the same one is deleted here and added there.
KEYS = st.integers(0, 7)
SETS = st.sets(KEYS, max_size=4)
CUTS = [None, "3", "6", None]
#: What others do between the copies of two chunks: at one end, and to one set of ids.
WRITES = st.lists(
    st.tuples(st.sampled_from(["add", "delete"]), st.sampled_from(["source", "target"]), SETS), max_size=2
)


def migration(rows: dict[str | None, set[int]], target: set[int]) -> CopiedChunks:
    """A migration with three chunks in each partition; nothing is copied yet."""
    ranges = [(partition, *ends) for partition in rows for ends in pairwise(CUTS)]
    chunks = [ChunkRecord(DEFINITION.id, index, *one) for index, one in enumerate(ranges)]
    return CopiedChunks(MemorySource(rows), MemoryTarget(set(target)), chunks)


def write(migration: CopiedChunks, writes: Any) -> None:
    for verb, end, keys in writes:
        found = migration.target.ids if end == "target" else next(iter(migration.source.rows.values()))
        found |= keys if verb == "add" else set()
        found -= keys if verb == "delete" else set()


def verdict_of(migration: CopiedChunks) -> Verdict:
    return judge(migration.end(), DEFINITION.id)


@settings(max_examples=500)
@given(SETS, SETS, SETS, st.lists(WRITES, min_size=4, max_size=4))
def test_complete_means_that_every_id_of_the_source_is_in_the_target(
    there: set[int], before: set[int], rejected: set[int], writes: Any
) -> None:
    one = migration({None: set(there)}, before)
    for index in range(3):
        write(one, writes[index])
        one.copy(index, rejected)
    write(one, writes[3])

    verdict = verdict_of(one)

    source, target = one.source.rows[None], one.target.ids
    rejects = set().union(*one.rejects.values())
    assert ("all " in verdict.headline) == (verdict.exit_status == 0) == (verdict.exceptions == [])
    if verdict.exit_status == 0:
        assert source <= target
        assert not rejects
        assert f"all {len(source):,} " in verdict.headline
        if not any(end == "target" for part in writes for _, end, _ in part):
            assert source <= one.copied
    if source - target - rejects:
        assert verdict.exit_status != 0
    if verdict.outcome == Outcome.MISSING:
        assert source - target - rejects


@given(SETS, SETS)
def test_a_migration_that_nothing_disturbs_is_complete(there: set[int], before: set[int]) -> None:
    one = migration({None: set(there)}, before)
    for index in range(3):
        one.copy(index, set())
    assert verdict_of(one) == Verdict(
        Outcome.COMPLETE, f"all {len(there)} points are in the target", [], exit_status=0
    )


@given(st.sets(KEYS, min_size=1), SETS, st.data())
def test_points_that_others_delete_and_replace_in_the_target_are_missed(
    there: set[int], before: set[int], data: st.DataObject
) -> None:
    """The counts are equal; the source has not changed."""
    one = migration({None: set(there)}, before)
    for index in range(3):
        one.copy(index, set())
    deleted = data.draw(st.sets(st.sampled_from(sorted(there)), min_size=1))
    one.target.ids -= deleted
    one.target.ids |= set(range(100, 100 + len(deleted)))

    verdict = verdict_of(one)

    assert (verdict.outcome, verdict.exit_status) == (Outcome.MISSING, 1)
    assert f"missing in the target: {len(deleted)} of the source's points" in verdict.exceptions[0]


@given(SETS, SETS, SETS)
def test_points_that_replace_one_another_are_counted(west: set[int], east: set[int], before: set[int]) -> None:
    one = migration({"east": east, "west": west}, before)
    for index in range(6):
        one.copy(index, set())

    verdict = verdict_of(one)

    repeats = len(east & west)
    assert verdict.exit_status == (3 if repeats else 0)
    total = len(east) + len(west)
    expected = f"{total - repeats} of {total} points are in the target, {repeats} are not" if repeats else "all "
    assert expected in verdict.headline


@pytest.mark.parametrize(
    ("before", "exception"),
    [
        (set(), "1 points that are new in the source since their chunk was copied, or that were deleted from"),
        ({2}, "the source and the target were both written to: points that are new in the source may be older ones"),
    ],
)
def test_as_many_points_added_as_deleted_behind_the_offset_are_noticed(before: set[int], exception: str) -> None:
    """The counts of the chunk and of both ends are those of a migration that nothing disturbed."""
    one = migration({None: {0, 1}}, before)
    for index in range(3):
        one.copy(index, set())
    one.source.rows[None] = {0, 2}

    verdict = verdict_of(one)

    assert (verdict.outcome, verdict.exit_status) == (Outcome.INCOMPLETE, 3)
    assert verdict.exceptions[0].startswith(exception)


def test_points_of_others_are_told_beside_points_that_replaced_one_another() -> None:
    one = migration({"east": {1, 2}, "west": {2, 3}}, set())
    for index in range(6):
        one.copy(index, set())
    one.target.ids |= {100, 101}

    end = one.end()

    assert judge(end, DEFINITION.id).headline == "3 of 4 points are in the target, 1 are not"
    assert "the target holds 5 points, 2 more than it had before plus those that were copied" in end.notices[0]


@pytest.mark.parametrize("points", [0, 4])
def test_a_partition_that_was_added_in_mid_run_is_an_exception(points: int) -> None:
    one = migration({"east": {1, 2}}, set())
    for index in range(3):
        one.copy(index, set())
    one.source.rows["west"] = set(range(10, 10 + points))

    verdict = verdict_of(one)

    assert verdict.exit_status == 3
    assert f"{points} points in shard key west" in verdict.exceptions[0]
    assert "all" not in verdict.headline


def test_a_partition_that_was_taken_away_is_told() -> None:
    one = migration({"east": {1, 2}, "west": {3}}, set())
    for index in range(6):
        one.copy(index, set())
    del one.source.rows["west"]
    end = one.end()
    assert judge(end, DEFINITION.id).exit_status == 0
    assert "3 points were read, it holds 2 now (1 read and 0 now in [3, 6) of shard key west)" in end.notices[0]
