"""The verdict on every state that a migration can end in, as docs/migration-end.md promises it."""

import re
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from qmig.ledger.reconciliation import IdComparison, Reconciliation, Tally
from qmig.ledger.verdict import Outcome, judge

PAGE = Path(__file__).parents[3] / "docs" / "migration-end.md"
MIGRATION = "9cc48f5c-0997-567f-95cc-ed320f6a57eb"

CHANGED = Tally(1, ["10 read and 8 now in […, …)"])


def ended(source: int = 10, *, ids: IdComparison | None = None, **fields: object) -> Reconciliation:
    """The end of a migration that read ten points."""
    before = Reconciliation(read=10, source_now=source, target_now=10, ids=ids or IdComparison(ids=source))
    for name, value in fields.items():
        setattr(before, name, value)
    return before


#: The end state for each row of the page's table, and words of the exceptions.
STATES = {
    "every id of the source is in the target": (ended(), []),
    "the same, and the command of a finished migration was called again": (ended(again=True), []),
    "the same, after points were deleted from the source in mid-run": (
        ended(8, ids=IdComparison(ids=8, changed=CHANGED, changed_partitions=[None])),
        [],
    ),
    "the target had points with the same ids before": (ended(target_before=4), []),
    "others added points to the target": (ended(target_now=14, notices=["4 more"]), []),
    "rejects, with `--on-error skip`": (
        ended(rejected=1, ids=IdComparison(ids=10, rejected=1)),
        [f"1 points that cannot be copied as they are: `qmig rejects {MIGRATION}` lists them"],
    ),
    "rows that a Milvus counts and returns in no query": (
        ended(12, ids=IdComparison(ids=10, unreadable=Tally(2, ["2 in […, …)"]))),
        ["2 rows that the source counts but returns in no query"],
    ),
    "ids that are new in the source, behind an offset": (
        ended(13, ids=IdComparison(ids=13, uncopied=Tally(3, ["3 in […, …)"]), changed=CHANGED)),
        ["3 points that are new in the source since their chunk was copied"],
    ),
    "the same id in two partitions of the source, and no shard keys in the target to tell them apart": (
        ended(ids=IdComparison(ids=10, repeated=2), replaced=2),
        ["2 points that were replaced by a point with the same id"],
    ),
    "a shard key or a partition that the source did not have when it was planned": (
        ended(15, ids=IdComparison(ids=10), unread=5, unread_partitions=["shard key 7"]),
        ["5 points in shard key 7, which the source did not have when it was planned"],
    ),
    "a vector, a payload index or a shard key was added, taken away or changed": (
        ended(changes=["at the source, vector 'a' was added", "at the source, shard key 7 was taken away"]),
        ["at the source, vector 'a' was added", "at the source, shard key 7 was taken away"],
    ),
    "the source changed, and the target had or got points of others: new ids may be among these": (
        ended(unclear=True, ids=IdComparison(ids=10, changed=CHANGED)),
        ["points that are new in the source may be older ones of the target"],
    ),
    "the target lacks ids that were copied": (
        ended(ids=IdComparison(ids=10, lost=Tally(1, ["1 in […, …)"])), errors=["missing in the target: 1"]),
        ["missing in the target: 1"],
    ),
    "the ledger's counts contradict each other": (
        ended(errors=["chunk 1: 5 points read, 4 acknowledged, 0 rejected"]),
        ["chunk 1: 5 points read"],
    ),
}
ROWS = {
    cells[0]: cells[1:]
    for line in PAGE.read_text().splitlines()
    if len(cells := [cell.strip() for cell in line.strip("|").split("|")]) == 4 and cells[2].isdigit()
}


def test_the_page_has_every_state() -> None:
    assert ROWS.keys() == STATES.keys()


@pytest.mark.parametrize("state", STATES)
def test_the_verdict_is_that_of_the_page(state: str) -> None:
    result, expected = STATES[state]
    outcome, status, headline = ROWS[state]

    verdict = judge(result, MIGRATION)

    assert f"`{verdict.outcome}`" == outcome
    assert str(verdict.exit_status) == status
    assert verdict.headline.partition(",")[0] == headline.partition(",")[0]
    assert headline in verdict.headline
    assert len(verdict.exceptions) == len(expected)
    assert all(words in line for words, line in zip(expected, verdict.exceptions, strict=True))


@pytest.mark.parametrize(("one", "other"), list(permutations(STATES, 2)))
def test_with_several_exceptions_each_is_named_and_the_worst_decides(one: str, other: str) -> None:
    results = [STATES[one][0], STATES[other][0]]
    both = together(*results)

    verdict = judge(both, MIGRATION)

    order = [Outcome.MISSING, Outcome.INCOMPLETE, Outcome.COMPLETE]
    each = [judge(result, MIGRATION) for result in results]
    assert order.index(verdict.outcome) == min(order.index(part.outcome) for part in each)
    worst = [part for part in each if part.outcome == verdict.outcome]
    assert {line for part in worst for line in part.exceptions} <= set(verdict.exceptions)
    assert ("all " in verdict.headline) == (verdict.exit_status == 0)
    assert re.match(r"all [\d,]+ |[\d,]+ of [\d,]+ points are", verdict.headline)


def together(one: Reconciliation, other: Reconciliation) -> Reconciliation:
    """An end with what is the case in both."""
    ids = IdComparison(**_either(one.ids, other.ids, IdComparison()))
    return Reconciliation(**{**_either(one, other, Reconciliation()), "ids": ids})


def _either(one: object, other: object, default: object) -> dict[str, Any]:
    """Each field of `one`, or that of `other` where it has its default value in `one`; lists of both."""
    both = {}
    for name, value in vars(default).items():
        mine, theirs = getattr(one, name), getattr(other, name)
        both[name] = [*mine, *theirs] if isinstance(value, list) else theirs if mine == value else mine
    return both
