"""Put a target into its final settings when the last migration that loads it has ended; its ledger may be lost."""

import time

from qmig.errors import QmigError, TerminalError
from qmig.formatting import SHOWN_ID
from qmig.ledger.lease import HEARTBEAT_SECONDS
from qmig.ledger.ledger import Ledger
from qmig.ledger.records import JobKind, MigrationRecord, State
from qmig.ledger.stalled import StalledChunks
from qmig.qdrant.debt import LOAD, Debt, debts, read_debt, remove_entries
from qmig.qdrant.server import Server

#: Seconds in which a worker claims the next chunk of a migration that is running.
CLAIM_SECONDS = 5.0


def put_back(ledger: Ledger, record: MigrationRecord) -> str | None:
    """Put the migration's target into its final settings, unless another migration that is running loads it too.

    Return a line that names that migration: it puts the settings back at its own end. May be called again.
    """
    if record.job != JobKind.COPY:
        return None
    return _settle(ledger.server, record.definition.target.collection, record.migration, record.final_settings)


def put_back_without_ledger(server: Server, migration: str) -> list[str]:
    """Put every target that this migration loads into its final settings, as the target's metadata has them.

    Return the names of these collections.
    """
    loaded = [name for name, debt in debts(server).items() if migration in debt.loads]
    return [name for name in loaded if _settle(server, name, migration, None) is None]


def lost_migrations(ledger: Ledger, wanted: str = "") -> dict[str, list[str]]:
    """Migrations that still load a target, and that the ledger has lost: their ids, with the targets' names.

    Only ids that begin with `wanted`.
    """
    lost: dict[str, list[str]] = {}
    for name, debt in debts(ledger.server).items():
        for migration, load in debt.loads.items():
            if load.ledger == ledger.name and migration.startswith(wanted) and ledger.migration(migration) is None:
                lost.setdefault(migration, []).append(name)
    return lost


def describe_lost(ledger: Ledger) -> str:
    """Name the targets that migrations have left unfinished which the ledger has lost; empty where there is none."""
    try:
        lost = lost_migrations(ledger)
    except QmigError:
        # The key may have no right to see every collection.
        return ""
    return "".join(
        f"; a load left {', '.join(map(repr, names))} unfinished, with the vector index off: the command that began "
        f"it begins anew, and `qmig cancel {migration[:SHOWN_ID]}` puts the settings back"
        for migration, names in lost.items()
    )


def _settle(server: Server, name: str, migration: str, recorded: str | None) -> str | None:
    debt = read_debt(server, name)
    if debt is not None and migration in debt.loads and len(debt.loads) > 1:
        # Removed before the others are looked for: of two that end at once, at least one finds no other.
        remove_entries(server, name, [f"{LOAD}{migration}"])
        debt = read_debt(server, name)
    if debt is None:
        return None
    if debt.final_settings is not None and (other := _running_load(server, name, migration, debt)):
        return (
            f"the vector index of {name!r} stays off: migration {other[:SHOWN_ID]} loads it too, and puts its "
            "settings back at its end"
        )
    final_settings = debt.final_settings or recorded
    if final_settings is not None or debt.keys:
        remove_entries(server, name, debt.keys, final_settings)
    return None


def _running_load(server: Server, name: str, migration: str, debt: Debt) -> str | None:
    """Another migration that loads the collection and is running."""
    for other, load in debt.loads.items():
        if other != migration and _is_running(server, load.ledger, other):
            # It may have ended while its heartbeats were watched.
            now = read_debt(server, name)
            if now is not None and other in now.loads:
                return other
    return None


def _is_running(server: Server, name: str, migration: str) -> bool:
    """Whether a migration is running, and its workers are alive. One that may not be read counts as running."""
    ledger = Ledger(server, name)
    try:
        record = ledger.migration(migration)
        return record is not None and record.state == State.RUNNING and _is_alive(ledger, migration)
    except TerminalError:
        return True


def _is_alive(ledger: Ledger, migration: str) -> bool:
    """Whether a worker of a running migration sends heartbeats: command and workers may have been killed."""
    stalled, began = StalledChunks(), time.monotonic()
    before: set[tuple[str, int]] | None = None
    while True:
        held, now = ledger.held(migration), time.monotonic()
        heartbeats = {(chunk.owner, chunk.heartbeat) for chunk in held}
        if before is not None and heartbeats - before:
            return True
        if len(stalled.find(held, now)) == len(held) and now - began >= CLAIM_SECONDS:
            return False
        before = heartbeats
        time.sleep(HEARTBEAT_SECONDS / 2)
