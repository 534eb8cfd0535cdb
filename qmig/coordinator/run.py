"""A run of a migration or a verification over a fleet, from the command that begins it to its end."""

import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from qmig.broker.fleet import Fleet
from qmig.broker.task import MigrationTask
from qmig.coordinator.follow import Follower, View
from qmig.coordinator.new_plan import overtaken
from qmig.coordinator.results import Result
from qmig.errors import TransientError
from qmig.ledger.ledger import Ledger
from qmig.ledger.records import MigrationRecord, State
from qmig.monitor.reader import ProgressReader

#: Seconds between two attempts to register a migration with a broker that is unavailable.
REGISTER_AGAIN = 1.0


def new_run(record: MigrationRecord) -> dict[str, Any]:
    """Changes to a record that begin a new run. Tasks of an earlier run may still be queued; they then do nothing.

    A migration that is done keeps the time when it was.
    """
    return {
        "state": State.RUNNING,
        "run": uuid.uuid4().hex,
        "reconciliation": None,
        "comparison": None,
        "waiting": None,
        "waiting_seconds": 0.0,
        "error": None,
        **({"finished": None} if record.state == State.CANCELLED else {}),
    }


def open_run(ledger: Ledger, seen: MigrationRecord, **changes: Any) -> MigrationRecord:
    """Begin a new run of a migration, and retry the chunks that failed before. Return the record.

    Workers keep the chunks that they hold, because the plan is the same. A command that changes the migration at the
    same moment is joined; TerminalError where it begins the migration again, with another plan.
    """
    record: MigrationRecord | None = seen
    while record is not None and record.started == seen.started:
        begun = {**new_run(record), **changes}
        if ledger.change_migration(record, **begun):
            opened = ledger.migration(seen.migration) or replace(record, **begun)
            ledger.reopen(opened)
            return opened
        if seen.state == State.PREPARING:
            break
        record = ledger.migration(seen.migration)
    raise overtaken(ledger, seen.migration)


class Run:
    """Registers a migration with the fleet, keeps it registered, and follows it to its end."""

    def __init__(self, fleet: Fleet, task: MigrationTask, view: View, interrupted: Callable[[], bool]) -> None:
        """Warn of workers with another secret or version."""
        self._fleet = fleet
        self.interrupted = interrupted
        self._task = task
        self._view = view
        self._began = time.monotonic()
        for warning in fleet.check_workers():
            view.warn(warning)

    def register(self) -> None:
        """Have the fleet drive the migration from now on, until it ends.

        A broker that does not answer, or refuses, is waited for: the ledger already says that the migration runs.
        """
        outage = False
        while True:
            try:
                self._fleet.register(self._task)
            except TransientError as error:
                if self.interrupted():
                    raise
                if not outage:
                    self._view.warn(f"{error}; waiting")
                outage = True
                time.sleep(REGISTER_AGAIN)
            else:
                return

    def enqueue_supervision(self) -> None:
        """Have the supervisor queue chunks that were just planned."""
        self._fleet.enqueue_supervision(self._task)

    def follow(self, reader: ProgressReader, on_wait: Callable[[float], None] = time.sleep) -> Result:
        """Follow the run to its end; `on_wait` gets the seconds until the ledger is read again.

        Interrupted where it was interrupted; TerminalError with the failed chunks or the missing points.
        """
        follower = Follower(reader, self._fleet, self._view, self._began)

        def wait(seconds: float) -> None:
            if self.interrupted():
                follower.stop()
            self._fleet.ensure_registered(self._task)
            on_wait(seconds)

        return follower.follow(wait)

    def stop_if_interrupted(self, reader: ProgressReader) -> None:
        """Stop a run before it is followed."""
        if self.interrupted():
            Follower(reader, self._fleet, self._view, self._began).stop()
