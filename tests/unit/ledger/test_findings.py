"""What chunks found is added up, with the first ids of each kind."""

from qmig.ledger.findings import DIFFERENT, EXTRA, MAX_IDS, MISSING, Findings
from qmig.qdrant.payload import from_payload, to_payload


def some(kind: str, first: int, number: int) -> Findings:
    findings = Findings()
    for place in range(number):
        findings.note(kind, str(first + place))
    return findings


def test_all_are_counted_and_the_first_ids_kept() -> None:
    total = Findings()
    for part in (some(MISSING, 0, 15), some(DIFFERENT, 50, 2), some(MISSING, 100, 30)):
        total.add(part)
    assert (total.missing, total.different, total.extra) == (45, 2, 0)
    assert total.ids[MISSING] == [str(key) for key in (*range(15), *range(100, 105))]
    assert len(total.ids[MISSING]) == MAX_IDS
    assert total.unequal == 47
    assert total.text == "45 missing, 2 different"


def test_what_was_repaired_does_not_count_any_more() -> None:
    findings = some(MISSING, 0, 3)
    findings.repaired = 3
    assert findings.unequal == 0
    findings.note(EXTRA, "9")
    assert findings.unequal == 1


def test_findings_come_out_of_the_ledger_as_they_went_in() -> None:
    for findings in (Findings(), some(MISSING, 0, 25)):
        recorded = from_payload(to_payload({"findings": findings.to_dict()}))["findings"]
        assert Findings.from_dict(recorded) == findings
    assert Findings.from_dict(None) == Findings()
