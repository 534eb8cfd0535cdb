"""Steering a migration through its ledger: pause, resume, cancel and throttle, from any host.

Every worker reads the migration's record with each beat, so that each of these takes effect within a second or a
batch on every host, and needs neither a coordinator nor the broker.
"""

import uuid
from typing import Any

from qmig.errors import UsageError
from qmig.ledger.ledger import Ledger
from qmig.ledger.records import MigrationRecord, State


def pause(ledger: Ledger, record: MigrationRecord) -> None:
    """Let workers end the batches in flight and give their chunks back."""
    _refuse_unless(record, "paused", State.RUNNING)
    _change(ledger, record, "paused", state=State.PAUSED)


def resume(ledger: Ledger, record: MigrationRecord) -> None:
    """Go on with a paused migration: the fleet that knows it queues its chunks within seconds."""
    _refuse_unless(record, "resumed", State.PAUSED)
    # A new run: what was queued before the pause has been thrown away.
    _change(ledger, record, "resumed", state=State.RUNNING, run=uuid.uuid4().hex)


def cancel(ledger: Ledger, record: MigrationRecord) -> None:
    """End a migration for good; the fleet then puts the target's settings into their final state."""
    _refuse_unless(record, "cancelled", State.RUNNING, State.PAUSED)
    _change(ledger, record, "cancelled", state=State.CANCELLED)


def throttle(ledger: Ledger, record: MigrationRecord, max_rate: int | None) -> None:
    """Limit the whole fleet to `max_rate` points a second from now on; None lifts the limit."""
    _refuse_unless(record, "throttled", State.PREPARING, State.RUNNING, State.PAUSED, State.STOPPED)
    ledger.update_migration(record.migration, max_rate=max_rate)


def _change(ledger: Ledger, record: MigrationRecord, verb: str, **changes: Any) -> None:
    if not ledger.change_migration(record, **changes):
        raise UsageError(
            f"migration {record.migration} is no longer as it was a moment ago and was not {verb}; see what it is "
            "with `qmig status`, and give the command again"
        )


def _refuse_unless(record: MigrationRecord, verb: str, *states: str) -> None:
    if record.state not in states:
        hint = (
            "the command that began it goes on with it"
            if record.state in (State.STOPPED, State.FAILED, State.CANCELLED)
            else f"that needs one that is {' or '.join(states)}"
        )
        raise UsageError(f"migration {record.migration} is {record.state} and cannot be {verb}; {hint}")
