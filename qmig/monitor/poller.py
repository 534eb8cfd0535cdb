"""Looking after the migrations of a ledger again and again: what cannot change is read once."""

import time
from collections.abc import Iterator

from qmig.errors import TerminalError
from qmig.ledger.ledger import Ledger
from qmig.ledger.records import ENDED, MigrationRecord, State
from qmig.ledger.stalled import StalledChunks
from qmig.monitor.progress import Progress
from qmig.monitor.rates import Rate, Sample, WorkerRates
from qmig.monitor.reader import ProgressReader
from qmig.monitor.status import MigrationStatus

# Seconds between two looks.
LOOK_EVERY = 2.0
# Seconds for which a migration that has ended is still looked at: its workers may be giving their chunks back.
SETTLES_WITHIN = 30.0


class MigrationPoller:
    """One migration and what was seen of it."""

    def __init__(self, ledger: Ledger, record: MigrationRecord) -> None:
        self._ledger = ledger
        self._record = record
        self._changed = time.monotonic()
        self._overview: MigrationStatus | None = None
        self._progress = Progress(0, 0)
        self._rate = Rate()
        self._worker_rates = WorkerRates()
        self._stalled = StalledChunks()
        self._watch = ProgressReader(ledger, record.migration)

    def poll(self, record: MigrationRecord) -> MigrationStatus:
        """The migration as it stands; `record` was read just now. TransientError where the ledger is away."""
        if record != self._record:
            self._note_change(record)
        if self._overview is not None and self._has_settled(record):
            return self._overview
        problem = None
        try:
            self._progress = self._watch.refresh()
        except TerminalError as error:
            # A plan with a hole is no reason to be silent about the other migrations.
            problem = str(error)
            self._watch = ProgressReader(self._ledger, record.migration)
        now = time.monotonic()
        self._rate.add(Sample(now, self._progress.points, self._progress.bytes))
        self._worker_rates.add(now, self._watch.read)
        gone = self._stalled.find(self._progress.running, now)
        self._overview = MigrationStatus.of_record(
            record, self._progress, self._rate, self._worker_rates.per_second, problem, gone
        )
        return self._overview

    def _note_change(self, record: MigrationRecord) -> None:
        if (record.run, record.started) != (self._record.run, self._record.started):
            # A new run tries failed chunks again, and a new plan has other chunks.
            self._watch = ProgressReader(self._ledger, record.migration)
        if record.state != self._record.state:
            self._rate, self._worker_rates = Rate(), WorkerRates()
        self._record = record
        self._changed = time.monotonic()
        self._overview = None

    def _has_settled(self, record: MigrationRecord) -> bool:
        if record.state not in ENDED:
            return False
        idle = not self._progress.running or record.state == State.DONE
        return idle or time.monotonic() - self._changed > SETTLES_WITHIN


class LedgerPoller:
    """The migrations of a ledger, all of them or those with an id."""

    def __init__(self, ledger: Ledger, only: str | None = None) -> None:
        self._ledger = ledger
        self._only = only
        self._observed: dict[str, MigrationPoller] = {}

    def poll(self) -> list[MigrationStatus]:
        """Every migration as it stands, the oldest first; none where there is no ledger.

        TransientError where the ledger is away, TerminalError where a newer qmig wrote it.
        """
        records = self._records()
        before = self._observed
        self._observed = {
            record.migration: before.get(record.migration) or MigrationPoller(self._ledger, record)
            for record in records
        }
        return [self._observed[record.migration].poll(record) for record in records]

    def _records(self) -> list[MigrationRecord]:
        if self._only is None:
            return self._ledger.migrations()
        record = self._ledger.migration(self._only)
        return [] if record is None else [record]


def poll_repeatedly(observer: LedgerPoller) -> Iterator[list[MigrationStatus]]:
    """Looks `LOOK_EVERY` seconds apart; the first is held back while something runs, for it has no rates yet."""
    statuses = observer.poll()
    if not any(status.state == State.RUNNING for status in statuses):
        yield statuses
    while True:
        time.sleep(LOOK_EVERY)
        yield observer.poll()
