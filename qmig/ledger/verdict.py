"""The verdict on a migration at its end: what is in the target, what is not, and the exit status that says so.

Every place that tells the end of a migration asks here: the command, `qmig status`, Flower's page and its metrics.
docs/migration-end.md has the table.
"""

from dataclasses import dataclass
from enum import StrEnum

from qmig.errors import IncompleteError, TerminalError
from qmig.ledger.reconciliation import Reconciliation
from qmig.ledger.records import MigrationRecord

#: The exit status of a command whose migration is complete.
SUCCESS = 0


class Outcome(StrEnum):
    """What a migration's end shows."""

    #: Every id of the source is in the target, and nothing is unknown.
    COMPLETE = "complete"
    #: Everything is in the target but what `Verdict.exceptions` names.
    INCOMPLETE = "incomplete"
    #: The target has lost points, or the ledger's counts contradict each other: the migration has failed.
    MISSING = "missing"


@dataclass(frozen=True)
class Verdict:
    """The verdict on one migration."""

    outcome: Outcome
    #: One line: how many points are in the target.
    headline: str
    #: What is not in the target, or not known, with the way out; one line each.
    exceptions: list[str]
    #: The exit status of a command that ends with this verdict.
    exit_status: int


#: The exit status for each outcome.
EXIT_STATUSES = {
    Outcome.COMPLETE: SUCCESS,
    Outcome.INCOMPLETE: IncompleteError.exit_status,
    Outcome.MISSING: TerminalError.exit_status,
}


def verdict_on(record: MigrationRecord) -> Verdict | None:
    """Judge the checks at a migration's end; None before them, and for a verification."""
    return None if record.reconciliation is None else judge(record.reconciliation, record.migration)


def judge(result: Reconciliation, migration: str) -> Verdict:
    """Judge the checks at the end of the migration with this id."""
    exceptions = result.errors or [*_absent(result, migration), *_unknown(result)]
    outcome = Outcome.MISSING if result.errors else Outcome.INCOMPLETE if exceptions else Outcome.COMPLETE
    return Verdict(outcome, _headline(result, not exceptions), exceptions, EXIT_STATUSES[outcome])


def _headline(result: Reconciliation, is_complete: bool) -> str:
    total, absent = result.source_now, _points_absent(result)
    if is_complete and not result.again and not result.ids.changed.points:
        return f"all {total:,} points are in the target"
    if is_complete:
        return (
            f"all {total:,} ids of the source are in the target; contents were not compared, `qmig verify` does that"
        )
    headline = f"{total - absent:,} of {total:,} points are in the target"
    return f"{headline}, {absent:,} are not" if absent else f"{headline}, with exceptions"


def _points_absent(result: Reconciliation) -> int:
    """The points that the source has now and that are not in the target."""
    ids = result.ids
    missing = ids.rejected + ids.lost.points + ids.uncopied.points + ids.unreadable.points
    return min(result.source_now, missing + result.replaced + result.unread)


def _absent(result: Reconciliation, migration: str) -> list[str]:
    """The points that are not in the target."""
    ids = result.ids
    lines = []
    if result.rejected:
        lines.append(
            f"{result.rejected:,} points that cannot be copied as they are: `qmig rejects {migration}` lists them "
            "with the reasons, --retry-rejects retries them"
        )
    if ids.unreadable.points:
        lines.append(
            f"{ids.unreadable.points:,} rows that the source counts but returns in no query, most likely rows that "
            f"repeat a primary key: {ids.unreadable.text}"
        )
    if ids.uncopied.points:
        lines.append(
            f"{ids.uncopied.points:,} points that are new in the source since their chunk was copied, or that were "
            f"deleted from the target: {ids.uncopied.text}; `qmig verify --repair` copies them"
        )
    if result.replaced:
        lines.append(
            f"{result.replaced:,} points that were replaced by a point with the same id from another partition of "
            "the source: the target has room for one of each"
        )
    if result.unread_partitions:
        lines.append(
            f"{result.unread:,} points in {', '.join(result.unread_partitions)}, which the source did not have when "
            "it was planned; --restart-migration copies everything again"
        )
    return lines


def _unknown(result: Reconciliation) -> list[str]:
    """What is not known, and what has changed."""
    lines = [f"settings have changed: {change}" for change in result.changes]
    if result.unclear:
        lines.append(
            "the source and the target were both written to: points that are new in the source may be older ones of "
            "the target; `qmig verify` compares them"
        )
    return lines
