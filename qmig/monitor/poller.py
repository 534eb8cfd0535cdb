"""Poll the migrations of a ledger. What can no longer change is read only once."""

import time
from collections.abc import Iterator

from qmig.errors import LedgerLostError, TerminalError
from qmig.ledger.collection import Malformed
from qmig.ledger.find import existing_migration
from qmig.ledger.ledger import Ledger
from qmig.ledger.records import ENDED, MigrationRecord, State
from qmig.ledger.stalled import StalledChunks
from qmig.monitor.progress import Progress
from qmig.monitor.rates import Rate, Sample, WorkerRates
from qmig.monitor.reader import ProgressReader
from qmig.monitor.status import MigrationStatus

#: Seconds between two reads of the ledger.
POLL_INTERVAL = 2.0
#: Seconds for which a migration that has ended is still read: its workers may be releasing their chunks.
SETTLES_WITHIN = 30.0


class MigrationPoller:
    """Polls one migration, and measures its rates."""

    def __init__(self, ledger: Ledger, record: MigrationRecord) -> None:
        self._ledger = ledger
        self._record = record
        self._changed = time.monotonic()
        self._status: MigrationStatus | None = None
        self._progress = Progress(0, 0)
        self._rate = Rate()
        self._worker_rates = WorkerRates()
        self._stalled = StalledChunks()
        self._reader = ProgressReader(ledger, record.migration)

    def poll(self, record: MigrationRecord) -> MigrationStatus:
        """The status of the migration; `record` was read just now. TransientError where the target is unavailable."""
        if record != self._record:
            self._note_change(record)
        if self._status is not None and self._has_settled(record):
            return self._status
        problem = None
        try:
            self._progress = self._reader.refresh()
        except TerminalError as error:
            # A migration whose plan has a hole must not hide the others.
            problem = str(error)
            self._reader = ProgressReader(self._ledger, record.migration)
        now = time.monotonic()
        self._rate.add(Sample(now, self._progress.points, self._progress.bytes))
        self._worker_rates.add(now, self._reader.read)
        stalled = self._stalled.find(self._progress.running, now)
        self._status = MigrationStatus.of_record(
            record, self._progress, self._rate, self._worker_rates.per_second, problem, stalled
        )
        return self._status

    def _note_change(self, record: MigrationRecord) -> None:
        if (record.run, record.started) != (self._record.run, self._record.started):
            # A new run retries failed chunks, and a new plan has other chunks.
            self._reader = ProgressReader(self._ledger, record.migration)
        if record.state != self._record.state:
            self._rate, self._worker_rates = Rate(), WorkerRates()
        self._record = record
        self._changed = time.monotonic()
        self._status = None

    def _has_settled(self, record: MigrationRecord) -> bool:
        if record.state not in ENDED:
            return False
        idle = not self._progress.running or record.state == State.DONE
        return idle or time.monotonic() - self._changed > SETTLES_WITHIN


class LedgerPoller:
    """Polls every migration of a ledger, or the one with the id `only`."""

    def __init__(self, ledger: Ledger, only: str | None = None) -> None:
        self._ledger = ledger
        self._only = only
        self._pollers: dict[str, MigrationPoller] = {}
        #: The migrations that the last poll could not read.
        self.malformed: Malformed = {}

    def poll(self) -> list[MigrationStatus]:
        """The status of every migration, the oldest first; none where there is no ledger yet.

        TransientError where the target is unavailable, TerminalError where the one migration cannot be read, or where
        the ledger was deleted since it was read, or has lost the migration `only`.
        """
        records = self._records()
        if self._pollers and not records and not self._ledger.exists():
            raise LedgerLostError(
                f"the ledger {self._ledger.name!r} at {self._ledger.server.endpoint.url} was deleted; the commands "
                "that began its migrations begin anew, and `qmig cancel` with an id puts the target's settings back"
            )
        before = self._pollers
        self._pollers = {
            record.migration: before.get(record.migration) or MigrationPoller(self._ledger, record)
            for record in records
        }
        return [self._pollers[record.migration].poll(record) for record in records]

    def _records(self) -> list[MigrationRecord]:
        if self._only is None:
            self.malformed = {}
            return self._ledger.migrations(self.malformed)
        return [existing_migration(self._ledger, self._only)]


def poll_repeatedly(poller: LedgerPoller) -> Iterator[list[MigrationStatus]]:
    """Poll every `POLL_INTERVAL` seconds. The first poll, without rates, is left out while a migration is running."""
    statuses = poller.poll()
    if not any(status.state == State.RUNNING for status in statuses):
        yield statuses
    while True:
        time.sleep(POLL_INTERVAL)
        yield poller.poll()
