"""The findings of chunks are added up, with the first ids of each kind."""

from qmig.ledger.findings import MAX_IDS, FindingKind, Findings


def some(kind: FindingKind, first: int, number: int) -> Findings:
    findings = Findings()
    for place in range(number):
        findings.note(kind, str(first + place))
    return findings


def test_all_are_counted_and_the_first_ids_kept() -> None:
    total = Findings()
    for part in (
        some(FindingKind.MISSING, 0, 15),
        some(FindingKind.DIFFERENT, 50, 2),
        some(FindingKind.MISSING, 100, 30),
    ):
        total.add(part)
    assert (total.missing, total.different, total.extra) == (45, 2, 0)
    assert total.ids[FindingKind.MISSING] == [str(key) for key in (*range(15), *range(100, 105))]
    assert len(total.ids[FindingKind.MISSING]) == MAX_IDS
    assert total.unequal == 47
    assert total.text == "45 missing, 2 different"


def test_repaired_points_do_not_count_as_wrong() -> None:
    findings = some(FindingKind.MISSING, 0, 3)
    findings.repaired = 3
    assert findings.unequal == 0
    findings.note(FindingKind.EXTRA, "9")
    assert findings.unequal == 1
