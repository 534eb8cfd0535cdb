"""The summary at the end of a migration or a verification, for people and for programs."""

import json
from typing import Any

from qmig.coordinator.results import Result
from qmig.formatting import megabytes, pluralize
from qmig.ledger.findings import Checks, FindingKind
from qmig.ledger.records import MigrationRecord
from qmig.ledger.verdict import Verdict


def describe_summary(result: Result, verdict: Verdict) -> str:
    """The closing lines of a migration."""
    record, progress, counts = result.record, result.progress, result.reconciliation
    return "\n".join(
        [
            f"{record.title}: {verdict.headline}",
            f"  {_speed(result)}, {megabytes(progress.bytes)} in all",
            f"  {pluralize(progress.chunks, 'chunk')}, {progress.resumed:,} of them resumed, "
            f"{pluralize(progress.retries, 'retry', 'retries')}",
            f"  read {counts.read:,}, acknowledged {progress.points:,}; source holds {counts.source_now:,}, "
            f"target {counts.target_now:,} (before: {counts.target_before:,})",
            f"  migration {record.migration}",
        ]
    )


def describe_verification(result: Result) -> str:
    """The closing lines of a verification."""
    record, findings = result.record, result.findings
    checks = record.checks or Checks()
    sample = f", a sample of {checks.share * 100:g} %" if checks.share < 1 else ""
    equal = "all of them equal, and no point extra" if checks.extra else "all of them equal"
    lines = [f"{_title(record)}: {record.compared:,} points compared{sample}: {findings.text or equal}"]
    for kind in FindingKind:
        if count := findings.count(kind):
            ids = findings.ids[kind]
            more = f" and {count - len(ids):,} more" if count > len(ids) else ""
            lines.append(f"  {kind} {count:,}: {', '.join(ids)}{more}")
            lines += _explanation(kind, result)
    if findings.refused:
        lines.append(f"  not repaired: {findings.refused}")
    if findings.changing:
        lines.append(f"  {findings.changing:,} of these were written to in the source while they were compared")
    if findings.deleted:
        lines.append(
            f"  {findings.deleted:,} more points were deleted from the source while they were compared; they are not "
            "counted"
        )
    lines.append(f"  {_speed(result)}")
    lines.append(f"  migration {record.verifies}, verification {record.migration}")
    return "\n".join(lines)


def verification_as_json(result: Result) -> str:
    """The result of a verification for programs: one JSON object."""
    record, findings = result.record, result.findings
    checks = record.checks or Checks()

    def kind(name: FindingKind, **further: Any) -> dict[str, Any]:
        return {"count": findings.count(name), "ids": findings.ids.get(name, []), **further}

    exact = checks.share == 1
    return json.dumps(
        {
            "migration": record.verifies,
            "verification": record.migration,
            "equal": not findings.unequal and not findings.rejected,
            "compared": record.compared,
            "share": checks.share,
            "missing": kind(
                FindingKind.MISSING,
                may_be_new=findings.may_be_new if exact else None,
                more_in_source=findings.surplus if exact else None,
            ),
            "different": kind(FindingKind.DIFFERENT, first=findings.first),
            "extra": kind(FindingKind.EXTRA) if checks.extra else None,
            "rejected": kind(FindingKind.REJECTED),
            "repaired": findings.repaired,
            "refused": findings.refused,
            "changing": findings.changing,
            "deleted": findings.deleted,
            "seconds": round(result.seconds, 3),
        },
        ensure_ascii=False,
    )


def _speed(result: Result) -> str:
    return (
        f"{result.points:,} points in {result.seconds:.1f} s {result.period}, "
        f"{result.points_per_second:,.0f} points/s"
    )


def _title(record: MigrationRecord) -> str:
    return record.definition.title


def _explanation(kind: FindingKind, result: Result) -> list[str]:
    """The possible causes of a difference, as far as they are known."""
    findings = result.findings
    if kind == FindingKind.DIFFERENT:
        return [
            f"    {findings.first}{' (source ≠ target)' if '≠' in (findings.first or '') else ''}",
            "    either they changed in the source after they were copied, or they are wrong in the target",
        ]
    if kind != FindingKind.MISSING:
        return []
    if (result.record.checks or Checks()).share < 1:
        return ["    a sample cannot show whether they are new in the source"]
    if not findings.may_be_new:
        return [
            "    the source has no more points in these chunks than were copied: they are not new in it, unless as "
            "many others were deleted"
        ]
    return [
        f"    the source has {findings.surplus:,} more points in these chunks than were copied: up to "
        f"{findings.may_be_new:,} of the missing points may be new"
    ]
