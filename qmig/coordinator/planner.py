"""Write the plan to the ledger while it is being cut, so that the first chunks are copied before its end."""

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

from qmig.coordinator.plan import cut, plan_size
from qmig.errors import ChunkLostError, TransientError
from qmig.ledger.ledger import Ledger
from qmig.ledger.owner import NOBODY, Owner
from qmig.ledger.records import ChunkRecord, MigrationRecord, State
from qmig.ledger.stalled import LastChange
from qmig.sources.base import Source

#: Chunks that are written to the ledger together.
MAX_CHUNKS_SAVED = 1000


class Planner:
    """Plans one migration, and holds a lease on its plan.

    Two coordinators that planned at the same time would leave gaps between each other's chunks. The lease keeps them
    apart. Where it fails, because a coordinator was too slow and wakes up late, the numbers of the planners do: the
    migration's record counts the chunks of its last planner alone, and no chunk replaces one of a later planner.
    """

    def __init__(self, ledger: Ledger, source: Source, record: MigrationRecord) -> None:
        #: Whether the plan is complete.
        self.planned = record.planned
        #: Chunks in the ledger so far.
        self.chunks = record.chunks
        self._ledger = ledger
        self._source = source
        self._migration = record.migration
        self._begun = record
        self._plan: ChunkRecord | None = None
        self._last_change: LastChange | None = None
        self._cuts: Iterator[ChunkRecord] = iter(())

    def claim(self) -> bool:
        """Claim the plan unless another coordinator holds a valid lease. Return whether this one holds it now."""
        try:
            plan, now = self._ledger.plan(self._migration), time.monotonic()
        except TransientError:
            # While the ledger could not be read, no heartbeat of the holder could be seen either.
            self._last_change = None
            raise
        self._last_change = LastChange.of(plan, self._last_change, now)
        if self._plan is None and (not plan.owner or self._last_change.has_expired(now)):
            self._plan = self._ledger.claim(plan, Owner.new())
            if self._plan is not None and self._ledger.take_over_plan(self._plan) is None:
                self._plan = None
        record = self._ledger.migration(self._migration)
        if record is not None:
            self.planned, self.chunks = record.planned, record.chunks
        return self._plan is not None

    def begin(self, chunk_size: int | None) -> None:
        """Begin to cut, or continue after the last chunk in the plan, with the plan's chunk size.

        ChunkLostError where another coordinator has taken over the plan.
        """
        record = self._ledger.migration(self._migration)
        size = plan_size(self._source, (record and record.chunk_size) or chunk_size)
        last = self._ledger.chunks(self._migration, [self.chunks - 1])[0] if self.chunks else None
        self._record(chunk_size=size.chunk_size, expected=size.points)
        self._cuts = cut(self._source, size, self._migration, last)

    def go_on(self, seconds: float) -> None:
        """Cut for about `seconds`, at least one chunk, and write the chunks to the ledger.

        ChunkLostError where another coordinator has claimed the plan.
        """
        end = time.monotonic() + seconds
        found: list[ChunkRecord] = []
        is_complete = False
        while not is_complete and len(found) < MAX_CHUNKS_SAVED and (not found or time.monotonic() < end):
            chunk = next(self._cuts, None)
            if chunk is None:
                is_complete = True
            else:
                found.append(chunk)
        self._save(found, is_complete)

    def stop(self, error: str) -> None:
        """Stop the run whose plan cannot be completed, and record why, as far as the target answers."""
        with suppress(TransientError):
            self._ledger.change_migration(self._begun, state=State.STOPPED, error=error)

    def _save(self, found: list[ChunkRecord], is_complete: bool) -> None:
        """Write chunks as the holder of the plan. They belong to it once the migration's record counts them."""
        chunks = self.chunks + len(found)
        self._plan = self._ledger.change(self._held_plan, acknowledged=chunks)
        planner = self._held_plan.claims
        self._ledger.save_chunks([replace(chunk, planner=planner) for chunk in found])
        self._record(chunks=chunks, planned=is_complete)
        self.chunks, self.planned = chunks, is_complete
        if is_complete:
            # Released only now: until everything is recorded, this coordinator must be able to retry.
            self._ledger.change(self._held_plan, state=State.DONE, owner=NOBODY)

    def _record(self, **changes: Any) -> None:
        """Change the migration's record as its planner; ChunkLostError where there is a later one."""
        if self._ledger.change_plan(self._held_plan, **changes) is None:
            self._plan = None
            raise self._overtaken

    @property
    def _held_plan(self) -> ChunkRecord:
        """The plan's record with this coordinator's claim; ChunkLostError once another one has taken it over."""
        if self._plan is None:
            raise self._overtaken
        return self._plan

    @property
    def _overtaken(self) -> ChunkLostError:
        return ChunkLostError(f"another coordinator has claimed the plan of migration {self._migration}")
