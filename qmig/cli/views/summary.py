"""What a verification found, for people and for programs."""

import json
from typing import Any

from qmig.coordinator.results import Summary, Verdict
from qmig.formatting import pluralize
from qmig.ledger.findings import Checks, FindingKind
from qmig.ledger.records import MigrationRecord, Reconciliation


def describe_verdict(verdict: Verdict) -> str:
    """The lines at the end of a verification."""
    record, found = verdict.record, verdict.findings
    checks = record.checks or Checks()
    share = f", a share of {checks.share * 100:g} %" if checks.share < 1 else ""
    result = found.text or ("all of them equal, and no point extra" if checks.extra else "all of them equal")
    rate = verdict.points / verdict.seconds if verdict.seconds else 0.0
    lines = [f"{_title(record)}: {record.compared:,} points compared{share}: {result}"]
    for kind in FindingKind:
        if count := found.count(kind):
            ids = found.ids[kind]
            more = f" and {count - len(ids):,} more" if count > len(ids) else ""
            lines.append(f"  {kind} {count:,}: {', '.join(ids)}{more}")
            lines += _explained(kind, verdict)
    if found.refused:
        lines.append(f"  not repaired: {found.refused}")
    if found.changing:
        lines.append(f"  {found.changing:,} of these were being written to in the source while they were compared")
    if found.deleted:
        lines.append(
            f"  {found.deleted:,} more were deleted from the source while they were compared, and do not count"
        )
    lines.append(f"  {verdict.points:,} points in {verdict.seconds:.1f} s {verdict.since}, {rate:,.0f} points/s")
    lines.append(f"  migration {record.verifies}, verification {record.migration}")
    return "\n".join(lines)


def _explained(kind: FindingKind, verdict: Verdict) -> list[str]:
    """What is known about how it came to that."""
    found = verdict.findings
    if kind == FindingKind.DIFFERENT:
        return [
            f"    {found.first}{' (source ≠ target)' if '≠' in (found.first or '') else ''}",
            "    it cannot be known which were changed in the source after they were copied, and which are wrong",
        ]
    if kind != FindingKind.MISSING:
        return []
    if (verdict.record.checks or Checks()).share < 1:
        return ["    whether they are new in the source cannot be known from a share of the points"]
    if not found.may_be_new:
        return [
            "    the source has no more points in these chunks than were copied: they are not new in it, unless as "
            "many others were deleted"
        ]
    return [
        f"    the source has {found.surplus:,} more points in these chunks than were copied: up to "
        f"{found.may_be_new:,} of the missing may be new since"
    ]


def verdict_as_json(verdict: Verdict) -> str:
    """The same for programs, one JSON object."""
    record, found = verdict.record, verdict.findings
    checks = record.checks or Checks()

    def kind(name: FindingKind, **further: Any) -> dict[str, Any]:
        return {"count": found.count(name), "ids": found.ids.get(name, []), **further}

    exact = checks.share == 1
    return json.dumps(
        {
            "migration": record.verifies,
            "verification": record.migration,
            "equal": not found.unequal and not found.rejected,
            "compared": record.compared,
            "share": checks.share,
            "missing": kind(
                FindingKind.MISSING,
                may_be_new=found.may_be_new if exact else None,
                more_in_source=found.surplus if exact else None,
            ),
            "different": kind(FindingKind.DIFFERENT, first=found.first),
            "extra": kind(FindingKind.EXTRA) if checks.extra else None,
            "rejected": kind(FindingKind.REJECTED),
            "repaired": found.repaired,
            "refused": found.refused,
            "changing": found.changing,
            "deleted": found.deleted,
            "seconds": round(verdict.seconds, 3),
        },
        ensure_ascii=False,
    )


def _title(record: MigrationRecord) -> str:
    return record.definition.title


def describe_summary(summary: Summary) -> str:
    """The closing lines."""
    record, progress, books, seconds = summary.record, summary.progress, summary.reconciliation, summary.seconds
    rate = summary.points / seconds if seconds else 0.0
    return "\n".join(
        [
            f"{record.title}: {_arrived(books)}",
            f"  {summary.points:,} points in {seconds:.1f} s {summary.since}, {rate:,.0f} points/s, "
            f"{progress.bytes / 1e6:,.1f} MB in all",
            f"  {pluralize(progress.chunks, 'chunk')}, {progress.resumed:,} of them resumed, "
            f"{pluralize(progress.retries, 'retry', 'retries')}",
            f"  read {books.read:,}, acknowledged {progress.points:,}; source holds {books.source_now:,}, "
            f"target {books.target_now:,} (before: {books.target_before:,})",
            f"  migration {record.migration}",
        ]
    )


def describe_missing(summary: Summary) -> str | None:
    """Which points are known not to have arrived, and what can be done; None where that is none."""
    books, found = summary.reconciliation, []
    if books.rejected:
        found.append(
            f"{books.rejected:,} points that cannot be copied as they are: `qmig rejects "
            f"{summary.record.migration}` lists them with the reasons, --retry-rejects tries them again"
        )
    if books.unreadable:
        found.append(
            "rows that the source counts and gives to nobody, repeats of a key most likely: "
            f"{'; '.join(books.unreadable)}"
        )
    return f"finished, everything else is in the target; missing are {'; and '.join(found)}" if found else None


def _arrived(books: Reconciliation) -> str:
    if not books.rejected:
        return f"all {books.read:,} points are in the target"
    return f"{books.read - books.rejected:,} of {books.read:,} points are in the target, {books.rejected:,} are not"
