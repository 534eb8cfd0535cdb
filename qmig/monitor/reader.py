"""Read the progress of a migration from the ledger, whoever copies it."""

from qmig.errors import TerminalError
from qmig.ledger.find import existing_migration
from qmig.ledger.ledger import Ledger
from qmig.ledger.reconciliation import Reconciliation
from qmig.ledger.records import ENDED, ChunkRecord, MigrationRecord
from qmig.monitor.progress import Progress
from qmig.rpc.connection import RETRY_FOR

#: Unfinished chunks that are read beyond twice the number of running ones. Chunks are queued in order, so the ones
#: that change are among the first.
READ_AHEAD = 32


class ProgressReader:
    """Reads a migration's progress incrementally: only the chunks that may have changed are read again."""

    def __init__(self, ledger: Ledger, migration: str, record: MigrationRecord | None = None) -> None:
        """`record` is the migration that is followed; by default the one that the first refresh finds."""
        self._record = record
        self.ledger = ledger
        self._migration = migration
        self._known = 0
        self._finished = Progress(0, 0)
        self._unfinished: dict[int, ChunkRecord] = {}
        self._running = 0
        #: The chunks that the last refresh read: all that may have changed since the one before.
        self.read: list[ChunkRecord] = []

    def refresh(self) -> Progress:
        """Read the migration again. LedgerLostError where it is not in the ledger any more."""
        record = existing_migration(self.ledger, self._migration)
        if self._record is not None and record.started != self._record.started:
            raise TerminalError(
                f"migration {self._migration} was begun again by another command meanwhile; `qmig attach` follows it"
            )
        if self._record is not None and record.run != self._record.run:
            # A new run retries failed chunks.
            self._known, self._finished, self._unfinished = 0, Progress(0, 0), {}
        self._record = record
        window = list(self._unfinished)
        if record.state not in ENDED:
            window = window[: READ_AHEAD + 2 * self._running]
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
        """The migration's record at the last refresh."""
        assert self._record is not None
        return self._record

    @property
    def retry_for(self) -> float:
        """Seconds for which the migration waits for a server; those of a command before the first refresh."""
        return RETRY_FOR if self._record is None else self._record.definition.options.retry_for

    @property
    def reconciliation(self) -> Reconciliation:
        """The checks at the end; all zero before it."""
        return self.record.reconciliation or Reconciliation()

    def _progress(self, record: MigrationRecord) -> Progress:
        progress = self._finished.copy()
        progress.chunks, progress.total, progress.max_rate = record.chunks, record.expected, record.max_rate
        for chunk in self._unfinished.values():
            progress.add(chunk)
        return progress
