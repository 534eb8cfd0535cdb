"""Watching a migration's chunks in the ledger: progress, and chunks whose worker is gone are queued again.

Nothing is lost with the watcher: all it knows is in the ledger, and another one may take its place or stand
beside it.
"""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from qmig.errors import TransientError
from qmig.fleet import Fleet
from qmig.lease import LEASE_SECONDS, owner_is_dead
from qmig.ledger import ChunkRecord, Ledger, MigrationRecord
from qmig.progress import Progress
from qmig.task import ChunkTask

# Chunks are queued in order, so those at work are among the first that are not finished: only so many more
# than are running are read at each look.
LOOK_AHEAD = 32

log = logging.getLogger(__name__)


@dataclass
class _Observed:
    """A chunk as it was last seen to change, and when, by this process' own clock."""

    chunk: ChunkRecord
    since: float


class Watcher:
    """Watches the chunks of one migration and queues them again where they were lost."""

    def __init__(
        self, ledger: Ledger, fleet: Fleet, record: MigrationRecord, chunks: Sequence[ChunkRecord], task: ChunkTask
    ) -> None:
        """`chunks` is the whole plan as it stands; `task` is one of its tasks, for the rest of them."""
        self._ledger = ledger
        self._fleet = fleet
        self._record = record
        self._task = task
        self._total = sum(chunk.aim for chunk in chunks)
        self._finished = Progress(0, 0)
        self._unfinished: list[int] = []
        for chunk in chunks:
            if chunk.finished:
                self._finished.add(chunk)
            else:
                self._unfinished.append(chunk.index)
        self._chunks = {chunk.index: chunk for chunk in chunks if not chunk.finished}
        self._observed: dict[int, _Observed] = {}
        self._requeued: dict[int, tuple[str, int]] = {}
        self._running = 0
        self.queued = False

    def queue_all(self) -> None:
        """Queue every chunk that is not finished; TransientError where the broker is away."""
        self.queued = False
        self._queue([self._chunks[index] for index in self._unfinished])
        self._fleet.mark_queued(self._record.run)
        self.queued = True

    def look(self, requeue: bool = True) -> Progress:
        """Read what may have changed, and queue again what nobody is at."""
        window = self._unfinished[: LOOK_AHEAD + 2 * self._running]
        now = time.monotonic()
        lapsed: list[ChunkRecord] = []
        for chunk in self._ledger.chunks(self._record.migration, window):
            self._chunks[chunk.index] = chunk
            if chunk.finished:
                self._finished.add(chunk)
                del self._chunks[chunk.index]
                self._observed.pop(chunk.index, None)
                self._unfinished.remove(chunk.index)
                continue
            observed = self._observed.get(chunk.index)
            if observed is None or observed.chunk != chunk:
                self._observed[chunk.index] = observed = _Observed(chunk, now)
            if (chunk.owner and owner_is_dead(chunk.owner)) or now - observed.since >= LEASE_SECONDS:
                lapsed.append(chunk)
        progress = self._progress()
        self._running = len(progress.running)
        if requeue:
            self._requeue(lapsed, now)
        return progress

    @property
    def finished(self) -> bool:
        return not self._unfinished

    def forgive(self) -> None:
        """Start every lease anew: while the ledger could not be read, nobody could be seen alive."""
        self._observed.clear()

    def _requeue(self, lapsed: Sequence[ChunkRecord], now: float) -> None:
        try:
            if not self.queued or not self._fleet.is_queue_kept(self._record.run):
                self.queue_all()
                return
            # A task that is queued is waited for, whoever's turn it is; with nothing queued it was lost.
            drained = self._fleet.queued() == 0
            abandoned = [chunk for chunk in lapsed if drained or self._is_news(chunk)]
            self._queue(abandoned, urgent=True)
        except TransientError:
            # The next look finds the same chunks.
            self.queued = False
            return
        for chunk in abandoned:
            log.info("chunk %d is queued again: %s", chunk.index, _why(chunk))
            self._requeued[chunk.index] = (chunk.owner, chunk.beat)
            self._observed[chunk.index].since = now

    def _is_news(self, chunk: ChunkRecord) -> bool:
        return bool(chunk.owner) and self._requeued.get(chunk.index) != (chunk.owner, chunk.beat)

    def _queue(self, chunks: Sequence[ChunkRecord], urgent: bool = False) -> None:
        tasks = [
            (
                replace(
                    self._task,
                    chunk=chunk.index,
                    abandoned=(chunk.owner, chunk.beat) if self._has_lapsed(chunk) else None,
                ),
                chunk,
            )
            for chunk in chunks
        ]
        if tasks:
            self._fleet.queue(self._record, tasks, urgent)

    def _has_lapsed(self, chunk: ChunkRecord) -> bool:
        observed = self._observed.get(chunk.index)
        return (
            bool(chunk.owner)
            and observed is not None
            and observed.chunk == chunk
            and time.monotonic() - observed.since >= LEASE_SECONDS
        )

    def _progress(self) -> Progress:
        finished = self._finished
        progress = replace(
            finished,
            chunks=self._record.chunks,
            total=self._total,
            states=finished.states.copy(),
            running=[],
            failed=list(finished.failed),
        )
        for chunk in self._chunks.values():
            progress.add(chunk)
        return progress


def _why(chunk: ChunkRecord) -> str:
    if not chunk.owner:
        return "nobody has begun it, and nothing is queued"
    host, process, *_ = chunk.owner.split("/")
    return f"worker {process} on {host} is gone or gave no sign of life for {LEASE_SECONDS:g} s"
