"""Which migration of a ledger a command means."""

from qmig.errors import TerminalError, UsageError
from qmig.ledger import Ledger, MigrationRecord


def migrations(ledger: Ledger) -> list[MigrationRecord]:
    """Every migration in the ledger, the oldest first; TerminalError where there is no ledger."""
    if not ledger.check():
        raise TerminalError(f"there is no ledger {ledger.name!r} at {ledger.server.endpoint.url}; check the options")
    return ledger.migrations()


def find_migration(ledger: Ledger, wanted: str | None) -> MigrationRecord:
    """The migration with this id or unique beginning of one; None means the only one there is.

    UsageError with the ids to choose from where that is none or several.
    """
    records = migrations(ledger)
    found = [record for record in records if record.migration.startswith(wanted or "")]
    if len(found) == 1:
        return found[0]
    where = f"the ledger {ledger.name!r} at {ledger.server.endpoint.url}"
    known = ", ".join(record.migration for record in found or records) or "none"
    if wanted is None:
        what = "name one of the migrations" if found else "there are no migrations"
        raise UsageError(f"{what} in {where}; it has: {known}")
    what = "is not unique" if found else "is unknown"
    raise UsageError(f"migration {wanted!r} {what} in {where}; it has: {known}")
