"""Begin the plan of a migration or a verification, for the first time or again."""

import time
from collections.abc import Callable
from dataclasses import fields

from qmig.coordinator.follow import MIN_FOLLOW_INTERVAL, View
from qmig.errors import Interrupted, TerminalError
from qmig.formatting import pluralize
from qmig.ledger.find import existing_migration
from qmig.ledger.lease import HEARTBEAT_SECONDS
from qmig.ledger.ledger import Ledger
from qmig.ledger.owner import NOBODY, Owner
from qmig.ledger.records import MigrationRecord, State
from qmig.ledger.release import until_released


def begin_record(ledger: Ledger, kept: MigrationRecord | None, record: MigrationRecord) -> MigrationRecord:
    """Write the record of a migration that begins, in place of the `kept` one if it begins again.

    TerminalError where another command has begun it since `kept` was read.
    """
    if kept is None:
        is_written = ledger.save_migration(record)
    else:
        # Planners keep their numbers: those of the new plan must be higher.
        changes = {one.name: getattr(record, one.name) for one in fields(record) if one.name != "planner"}
        is_written = ledger.change_migration(kept, **changes)
    if not is_written:
        raise overtaken(ledger, record.migration)
    return record


def begin_new_plan(
    ledger: Ledger, record: MigrationRecord, view: View, interrupted: Callable[[], bool]
) -> MigrationRecord:
    """Forget every earlier plan of a migration that is being prepared. Return its record with an empty plan.

    Waits until no worker holds a chunk any more, so that no batch of the earlier plan, perhaps with other routing,
    arrives later. From then on no planner of an earlier plan changes anything. TerminalError where another command
    begins the migration.
    """
    _wait_for_workers(ledger, record.migration, view, interrupted)
    plan = ledger.claim(ledger.plan(record.migration), Owner.new())
    if plan is not None and ledger.take_over_plan(plan, chunks=0, planned=False) is not None:
        ledger.forget_chunks(plan)
        ledger.change(plan, owner=NOBODY)
        now = ledger.migration(record.migration)
        if now is not None and (now.state, now.run) == (record.state, record.run):
            return now
    raise overtaken(ledger, record.migration)


def overtaken(ledger: Ledger, migration: str) -> TerminalError:
    """The error of a command that finds its migration cancelled, or begun by another one: each has its own run."""
    if existing_migration(ledger, migration).state == State.CANCELLED:
        return TerminalError(
            f"migration {migration} was cancelled at this moment; give the same command again to continue it"
        )
    return TerminalError(
        f"another command is beginning migration {migration} at this moment; give the same command again in a while "
        "to join it"
    )


def _wait_for_workers(ledger: Ledger, migration: str, view: View, interrupted: Callable[[], bool]) -> None:
    """Wait until every chunk is released, or its lease has expired."""
    began, is_reported = time.monotonic(), False
    for held in until_released(ledger, migration):
        if interrupted():
            raise Interrupted("interrupted before the migration was begun again; the same command begins it")
        if not is_reported and time.monotonic() - began >= HEARTBEAT_SECONDS:
            is_reported = True
            view.say(f"waiting for the workers of the earlier plan to release {pluralize(held, 'chunk')} …")
        time.sleep(MIN_FOLLOW_INTERVAL)
