"""Cutting the source while its first chunks are being copied already: the ledger gets a plan as it is found."""

import time
from collections.abc import Iterator

from qmig.coordinator.plan import cut, plan_size
from qmig.errors import ChunkLostError, TransientError
from qmig.ledger.ledger import Ledger
from qmig.ledger.owner import NOBODY, Owner
from qmig.ledger.records import ChunkRecord, MigrationRecord, State
from qmig.ledger.stalled import LastChange
from qmig.sources.base import Source

# Chunks that the ledger gets at once, at most.
AT_ONCE = 1000


class Planner:
    """Makes one migration's plan. It holds the plan's record as a worker holds a chunk: two coordinators that cut
    one source would leave holes between each other's chunks."""

    def __init__(self, ledger: Ledger, source: Source, record: MigrationRecord) -> None:
        self.planned = record.planned
        self.chunks = record.chunks
        self._ledger = ledger
        self._source = source
        self._migration = record.migration
        self._plan: ChunkRecord | None = None
        self._seen: LastChange | None = None
        self._cuts: Iterator[ChunkRecord] = iter(())

    def claim(self) -> bool:
        """Whether the plan is this process' to make: nobody holds it, or its holder gives no sign of life."""
        try:
            seen, now = self._ledger.plan(self._migration), time.monotonic()
        except TransientError:
            # While the ledger could not be read its holder could not be seen alive.
            self._seen = None
            raise
        self._seen = LastChange.of(seen, self._seen, now)
        if self._plan is None and (not seen.owner or self._seen.has_expired(now)):
            self._plan = self._ledger.claim(seen, Owner.new())
        record = self._ledger.migration(self._migration)
        if record is not None:
            self.planned, self.chunks = record.planned, record.chunks
        return self._plan is not None

    def begin(self, chunk_size: int | None) -> None:
        """Cut into chunks of this size, or of the one that the plan began with, from behind its last chunk."""
        record = self._ledger.migration(self._migration)
        outline = plan_size(self._source, (record and record.chunk_size) or chunk_size)
        last = self._ledger.chunks(self._migration, [self.chunks - 1])[0] if self.chunks else None
        self._ledger.update_migration(self._migration, chunk_size=outline.chunk_size, expected=outline.points)
        self._cuts = cut(self._source, outline, self._migration, last)

    def go_on(self, seconds: float) -> None:
        """Cut for about so long, a chunk at least, and bring what was found to the ledger.

        ChunkLostError where another coordinator has the plan by now.
        """
        end = time.monotonic() + seconds
        found: list[ChunkRecord] = []
        is_whole = False
        while not is_whole and len(found) < AT_ONCE and (not found or time.monotonic() < end):
            chunk = next(self._cuts, None)
            if chunk is None:
                is_whole = True
            else:
                found.append(chunk)
        self._save(found, is_whole)

    def _save(self, found: list[ChunkRecord], is_whole: bool) -> None:
        """Write only as the plan's owner; the chunks count once the migration's record counts them."""
        assert self._plan is not None
        chunks = self.chunks + len(found)
        self._plan = self._ledger.change(self._plan, None, acknowledged=chunks)
        if self._plan is None:
            raise ChunkLostError(f"another coordinator plans migration {self._migration} by now")
        self._ledger.save_chunks(found)
        self._ledger.update_migration(self._migration, chunks=chunks, planned=is_whole)
        self.chunks, self.planned = chunks, is_whole
        if is_whole:
            # Held until all of it is recorded: with the target away in between it is this one's to do again.
            self._ledger.change(self._plan, state=State.DONE, owner=NOBODY)
