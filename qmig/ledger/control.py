"""Control a migration through its ledger, from any host: pause, resume and throttle.

Every worker reads the migration's record with each heartbeat. A change takes effect on every host within a second or
a batch, and needs neither a coordinator nor the broker.
"""

import uuid
from typing import Any

from qmig.errors import UsageError
from qmig.ledger.ledger import Ledger
from qmig.ledger.records import MigrationRecord, State


def pause(ledger: Ledger, record: MigrationRecord) -> None:
    """Let workers finish the batches in flight and release their chunks."""
    _refuse_unless(record, "paused", State.RUNNING)
    _change(ledger, record, "paused", state=State.PAUSED)


def resume(ledger: Ledger, record: MigrationRecord) -> None:
    """Resume a paused migration: the fleet that it is registered with queues its chunks within seconds."""
    _refuse_unless(record, "resumed", State.PAUSED)
    # In a new run all chunks are queued: workers have dropped the tasks that were queued before the pause.
    _change(ledger, record, "resumed", state=State.RUNNING, run=uuid.uuid4().hex)


def throttle(ledger: Ledger, record: MigrationRecord, max_rate: int | None) -> None:
    """Limit the whole fleet to `max_rate` points a second; None lifts the limit."""
    _refuse_unless(record, "throttled", State.PREPARING, State.RUNNING, State.PAUSED, State.STOPPED)
    _change(ledger, record, "throttled", max_rate=max_rate)


def _change(ledger: Ledger, record: MigrationRecord, verb: str, **changes: Any) -> None:
    if not ledger.change_migration(record, **changes):
        raise UsageError(
            f"migration {record.migration} was changed by another command at this moment and was not {verb}; see "
            "`qmig status`, and give the command again"
        )


def _refuse_unless(record: MigrationRecord, verb: str, *states: State) -> None:
    if record.state not in states:
        hint = (
            "the command that began it resumes it"
            if record.state in (State.STOPPED, State.FAILED, State.CANCELLED)
            else f"it has to be {' or '.join(states)}"
        )
        raise UsageError(f"migration {record.migration} is {record.state} and cannot be {verb}; {hint}")
