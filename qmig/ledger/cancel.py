"""Cancel a migration from any host: its workers release their chunks, then the target gets its final settings.

The command does all of it itself, so it needs neither workers nor a broker. Killed between its steps, the same
command finishes it; a worker that supervises the migration may do so too.
"""

import logging
import time
from collections.abc import Callable
from typing import Any

from qmig.errors import QmigError, TerminalError, UsageError
from qmig.formatting import pluralize
from qmig.ledger.find import existing_migration
from qmig.ledger.ledger import Ledger
from qmig.ledger.records import MigrationRecord, State
from qmig.ledger.release import until_released
from qmig.ledger.settle import lost_migrations, put_back, put_back_without_ledger
from qmig.qdrant.debt import read_debt
from qmig.rpc.connection import CALL_TIMEOUT

#: Seconds for which live workers may hold their chunks: a batch in flight waits for the target's answer.
MAX_RELEASE_SECONDS = CALL_TIMEOUT + 30.0
#: Seconds between two looks at the chunks that workers still hold.
RELEASE_INTERVAL = 0.25

log = logging.getLogger(__name__)


def cancel(ledger: Ledger, record: MigrationRecord, say: Callable[[str], None] = log.info) -> bool:
    """End a migration for good, and wait for the end; False if it had been cancelled before. `say` gets each wait.

    UsageError where the migration is done, or was begun again meanwhile.
    """
    is_owed = _is_owed(ledger, record)
    if record.state == State.DONE and not is_owed:
        raise UsageError(f"migration {record.migration} is done and cannot be cancelled")
    if record.state == State.CANCELLED and record.finished is not None and not is_owed:
        return False
    if record.state == State.DONE:
        put_back(ledger, record)
        return True
    if not ledger.change_migration(record, state=State.CANCELLED, finished=None, waiting=None):
        raise _changed(record)
    cancelled = _wait_for_release(ledger, record, say)
    if cancelled.finished is not None and not _is_owed(ledger, record):
        # A worker that supervises the migration was faster.
        return True
    if left := close_cancelled(ledger, cancelled):
        say(left)
    return True


def cancel_lost(ledger: Ledger, wanted: str) -> str | None:
    """Put the target of a migration back that the ledger has lost, and say so; None where it has lost none.

    `wanted` is the beginning of its id. UsageError where several begin like this.
    """
    if any(record.migration.startswith(wanted) for record in ledger.migrations()):
        return None
    lost = lost_migrations(ledger, wanted)
    if not lost:
        return None
    if len(lost) > 1:
        raise UsageError(f"name one of the migrations that the ledger {ledger.name!r} has lost: {', '.join(lost)}")
    (migration,) = lost
    names = put_back_without_ledger(ledger.server, migration)
    if not names:
        raise TerminalError(f"the target of migration {migration} is loaded by another migration, which puts it back")
    found = ", ".join(map(repr, names))
    return f"migration {migration} is not in the ledger {ledger.name!r}; the settings of {found} were put back"


def close_cancelled(ledger: Ledger, record: MigrationRecord) -> str | None:
    """Put the target of a cancelled migration into its final settings, and record the end.

    `record` is that of the cancelled migration; no worker may hold a chunk of it. Return a line that names another
    migration which loads the target, if there is one. UsageError where the migration was begun again meanwhile.
    """
    problem, left = None, None
    try:
        left = put_back(ledger, record)
    except TerminalError as error:
        problem = f"the target's settings could not be put back: {error}; `qmig cancel` tries it again"
    changes: dict[str, Any] = {"error": problem} if problem else {"final_settings": None}
    if not ledger.change_migration(record, finished=time.time(), waiting=None, **changes):
        raise _changed(record)
    if problem is not None:
        raise TerminalError(f"migration {record.migration} is cancelled, but {problem}")
    return left


def _is_owed(ledger: Ledger, record: MigrationRecord) -> bool:
    """Whether the target's metadata still names the migration."""
    debt = read_debt(ledger.server, record.definition.target.collection)
    return debt is not None and record.migration in debt.loads


def _wait_for_release(ledger: Ledger, record: MigrationRecord, say: Callable[[str], None]) -> MigrationRecord:
    """Wait until no live worker holds a chunk, and return the record then."""
    deadline, is_said = time.monotonic() + MAX_RELEASE_SECONDS, False
    for chunks in until_released(ledger, record.migration):
        _still_cancelled(ledger, record)
        held = pluralize(chunks, "chunk")
        if time.monotonic() > deadline:
            raise TerminalError(
                f"migration {record.migration} is cancelled, but workers still hold {held} after "
                f"{MAX_RELEASE_SECONDS:g} s; give `qmig cancel` again to put the target's settings back"
            )
        if not is_said:
            say(f"cancelled; waiting until workers release {held} …")
            is_said = True
        time.sleep(RELEASE_INTERVAL)
    return _still_cancelled(ledger, record)


def _still_cancelled(ledger: Ledger, record: MigrationRecord) -> MigrationRecord:
    """The record as it is now; UsageError where the migration was begun again meanwhile."""
    current = existing_migration(ledger, record.migration)
    if (current.state, current.run) != (State.CANCELLED, record.run):
        raise _changed(record)
    return current


def _changed(record: MigrationRecord) -> QmigError:
    return UsageError(
        f"migration {record.migration} was changed by another command at this moment and was not cancelled; see "
        "`qmig status`, and give the command again"
    )
