"""Find the migration of a ledger that a command names."""

from collections.abc import Callable
from dataclasses import dataclass

from qmig.errors import LedgerLostError, TerminalError, UsageError
from qmig.formatting import SHOWN_ID
from qmig.ledger.collection import Malformed
from qmig.ledger.ledger import Ledger
from qmig.ledger.records import JobKind, MigrationRecord
from qmig.ledger.settle import describe_lost
from qmig.migration import SourceSpec

#: Migrations that an error names, the newest ones.
MAX_SHOWN = 8


def migrations(ledger: Ledger, malformed: Malformed) -> list[MigrationRecord]:
    """All migrations in the ledger, the oldest first; those that cannot be read go to `malformed`.

    TerminalError where there is no ledger.
    """
    if not ledger.check():
        raise TerminalError(
            f"there is no ledger {ledger.name!r} at {ledger.server.endpoint.url}: no migration into this server has "
            "begun, or it was given another --target-url or --migration-offsets-collection-name"
            f"{describe_lost(ledger)}"
        )
    return ledger.migrations(malformed)


def existing_migration(ledger: Ledger, migration: str) -> MigrationRecord:
    """The record of a migration that has begun; LedgerLostError where it was deleted since."""
    record = ledger.migration(migration)
    if record is None:
        raise lost_ledger(ledger, migration)
    return record


def lost_ledger(ledger: Ledger, migration: str) -> LedgerLostError:
    """The error for a migration that is not in its ledger any more."""
    lost = "has lost the record of this migration" if ledger.exists() else "was deleted"
    return LedgerLostError(
        f"migration {migration} cannot go on: the ledger {ledger.name!r} at {ledger.server.endpoint.url} {lost}; "
        "the command that began it begins anew, and `qmig cancel` with this id puts the target's settings back"
    )


@dataclass(frozen=True)
class EndpointFilter:
    """Filter of migrations by the options that name their ends; None matches any."""

    #: Whether a source is at the URL that was given.
    is_source: Callable[[SourceSpec], bool] | None = None
    source_collection: str | None = None
    target_collection: str | None = None

    def matches(self, record: MigrationRecord) -> bool:
        """Whether the migration has these ends."""
        migration = record.definition
        source = migration.source
        if self.is_source is not None and not self.is_source(source):
            return False
        target = migration.target
        return self.source_collection in (None, source.given, source.collection) and self.target_collection in (
            None,
            target.given,
            target.collection,
        )


def find_migration(ledger: Ledger, wanted: str | None, between: EndpointFilter | None = None) -> MigrationRecord:
    """Find the migration whose id begins with `wanted`; without it, the only migration that `between` matches.

    A verification is found by its id alone. Where no migration or more than one matches, UsageError lists them.
    TerminalError where the only one that matches cannot be read.
    """
    malformed: Malformed = {}
    everything = records = migrations(ledger, malformed)
    if wanted is None:
        records = [
            record
            for record in records
            if record.job == JobKind.COPY and (between or EndpointFilter()).matches(record)
        ]
    found = [record for record in records if record.migration.startswith(wanted or "")]
    unreadable = [problem for record, problem in malformed.items() if record.startswith(wanted or "")]
    if unreadable and not found:
        raise TerminalError(unreadable[0])
    if len(found) == 1 and not (wanted and unreadable):
        return found[0]
    where = f"the ledger {ledger.name!r} at {ledger.server.endpoint.url}"
    shown = max(SHOWN_ID, len(wanted or "") + 1)
    choice = found or records or everything
    named = [f"{one.migration[:shown]} ({one.title}, {one.state})" for one in choice[-MAX_SHOWN:]]
    more = [f"and {len(choice) - len(named):,} older ones, see `qmig list`"] if len(choice) > len(named) else []
    cannot_be_read = [f"{record[:shown]} (cannot be read, see `qmig list`)" for record in list(malformed)[:MAX_SHOWN]]
    known = ", ".join(named + more + cannot_be_read) or "none"
    if wanted is None:
        there = (
            "there are no migrations"
            if between in (None, EndpointFilter())
            else "there is no migration with this source and target"
        )
        what = "name one of the migrations" if found else there
        raise UsageError(f"{what} in {where}; it has: {known}")
    what = "is not unique" if found else "is unknown"
    raise UsageError(f"migration {wanted!r} {what} in {where}; it has: {known}")
