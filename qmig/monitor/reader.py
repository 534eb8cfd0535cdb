"""Watching a migration in the ledger: where it stands, whoever works at it."""

from qmig.errors import TerminalError
from qmig.ledger.ledger import Ledger
from qmig.ledger.records import ENDED, ChunkRecord, MigrationRecord, Reconciliation
from qmig.monitor.progress import Progress

# Chunks are queued in order, so those at work are among the first that are not finished: only so many more
# than are running are read at each look.
LOOK_AHEAD = 32


class ProgressReader:
    """Reads what may have changed of one migration at each look, and keeps the rest."""

    def __init__(self, ledger: Ledger, migration: str) -> None:
        self._record: MigrationRecord | None = None
        self.ledger = ledger
        self._migration = migration
        self._known = 0
        self._finished = Progress(0, 0)
        self._unfinished: dict[int, ChunkRecord] = {}
        self._running = 0
        # The chunks that the last look read, all that may have changed since the one before.
        self.read: list[ChunkRecord] = []

    def refresh(self) -> Progress:
        """The migration as it stands, and `found` its record. TerminalError where it is not in the ledger."""
        record = self.ledger.migration(self._migration)
        if record is None:
            raise TerminalError(f"migration {self._migration} is not in the ledger {self.ledger.name!r} any more")
        self._record = record
        window = list(self._unfinished)
        if record.state not in ENDED:
            window = window[: LOOK_AHEAD + 2 * self._running]
        window += range(self._known, record.chunks)
        self._known = record.chunks
        self.read = self.ledger.chunks(self._migration, window)
        for chunk in self.read:
            self._unfinished[chunk.index] = chunk
            if chunk.finished:
                self._finished.add(chunk)
                del self._unfinished[chunk.index]
        progress = self._progress(record)
        self._running = len(progress.running)
        return progress

    @property
    def record(self) -> MigrationRecord:
        """The migration's record at the last look."""
        assert self._record is not None
        return self._record

    @property
    def reconciliation(self) -> Reconciliation:
        """What the end's checks found; empty before the end."""
        return Reconciliation(**(self.record.reconciliation or {}))

    def _progress(self, record: MigrationRecord) -> Progress:
        progress = self._finished.copy()
        progress.chunks, progress.total, progress.max_rate = record.chunks, record.expected, record.max_rate
        for chunk in self._unfinished.values():
            progress.add(chunk)
        return progress
