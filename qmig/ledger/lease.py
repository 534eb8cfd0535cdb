"""A worker's lease on a chunk: heartbeats in the ledger, progress, and the request to stop.

No two clocks are compared: an owner counts its heartbeats in the ledger, and a lease has expired when an observer has
seen the same count for `LEASE_SECONDS` of its own time (see `qmig.ledger.stalled`). An owner that has not seen a
heartbeat of its own in the ledger for a third of that time looks before it sends anything: it may have been stopped.
"""

import logging
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from qmig.errors import (
    ChunkLostError,
    LedgerWriteError,
    MigrationStoppedError,
    QmigError,
    TerminalError,
    TransientError,
)
from qmig.ledger.ledger import Ledger
from qmig.ledger.owner import NOBODY
from qmig.ledger.records import ChunkRecord, State
from qmig.rpc.call import Call

#: Seconds between two heartbeats. After a kill -9 this much work is repeated at most, and the batches in flight.
HEARTBEAT_SECONDS = 1.0
#: Seconds without a heartbeat after which a lease has expired.
LEASE_SECONDS = 15.0
#: Seconds since the last confirmed heartbeat after which an owner looks before it sends anything.
MAX_UNCONFIRMED_SECONDS = LEASE_SECONDS / 3
#: Seconds for which releasing a chunk is retried: its worker has nothing else to do.
RELEASE_RETRY_FOR = 10.0
#: Seconds between two looks at the clock and the request to stop in `Lease.sleep`.
MAX_NAP = 0.2

Answer = TypeVar("Answer")

log = logging.getLogger(__name__)


class Lease:
    """One claimed chunk. `advance` moves its offset in memory, and `heartbeat` writes it to the ledger."""

    def __init__(
        self,
        ledger: Ledger,
        chunk: ChunkRecord,
        max_rate: int | None,
        stop_requested: Callable[[], bool],
        on_heartbeat: Callable[[ChunkRecord, float], None],
        claimed: float | None = None,
    ) -> None:
        """`stop_requested` tells whether this worker is shutting down; `on_heartbeat` gets the chunk, and the seconds
        since it was claimed, at each heartbeat. `claimed` is when the claim was sent, in `steady_seconds`; now by
        default."""
        #: The chunk as the last heartbeat wrote it.
        self.chunk = chunk
        #: The migration's limit in points a second, as of the last heartbeat.
        self.max_rate = max_rate
        #: Since when this worker waits for a server, by its own steady clock; None while it does not.
        self.waiting_since: float | None = None
        self._ledger = ledger
        self._stop_requested = stop_requested
        self._on_heartbeat = on_heartbeat
        self._progress: dict[str, Any] = {}
        self._started = time.monotonic()
        self._seconds_before = chunk.seconds
        self._last_heartbeat = self._started
        #: When the last heartbeat that was seen in the ledger was sent, in seconds of `steady_seconds`.
        self._confirmed = self._sent = steady_seconds() if claimed is None else claimed
        self._change: Call[Any] | None = None
        self._reading: Call[Any] | None = None
        self._migration_stopped = False
        self._thread = ThreadPoolExecutor(1)

    def advance(self, **progress: Any) -> None:
        """Record progress; all before `offset` must be durably in the target."""
        self._progress.update(progress)

    @property
    def current(self) -> ChunkRecord:
        """The chunk with the progress made since the last heartbeat."""
        now = time.monotonic()
        seconds = self._seconds_before + now - self._started
        waited = 0.0 if self.waiting_since is None else now - self.waiting_since
        return replace(self.chunk, **self._progress, seconds=round(seconds, 3), waiting_seconds=round(waited, 3))

    @property
    def stopping(self) -> bool:
        """Whether the migration was stopped, or this worker is shutting down."""
        return self._migration_stopped or self._stop_requested()

    def heartbeat(self) -> None:
        """Send a heartbeat if one is due. Never blocks. ChunkLostError where another worker owns the chunk by now."""
        if self._change is not None and self._change.wait(0):
            change, self._change = self._change, None
            if self._succeeded(change):
                self._reading = self._ledger.start_read(self.chunk)
        if self._reading is not None and self._reading.wait(0):
            reading, self._reading = self._reading, None
            if self._succeeded(reading):
                self._check(reading.result())
        is_due = time.monotonic() - self._last_heartbeat >= HEARTBEAT_SECONDS
        if self._change is None and self._reading is None and is_due:
            self._change = self._start_heartbeat()
            self._on_heartbeat(self.chunk, self._last_heartbeat - self._started)

    def confirm(self) -> None:
        """Look whether the chunk is still this worker's, unless a heartbeat was confirmed lately.

        Call it before anything is sent that has no condition of its own. The process may have been stopped, or its
        machine suspended, for longer than its lease. ChunkLostError where another worker owns the chunk by now;
        MigrationStoppedError as soon as a stop is requested; TransientError where the ledger does not answer.
        """
        if steady_seconds() - self._confirmed < MAX_UNCONFIRMED_SECONDS:
            return
        # An answer that was under way may be older than the stop.
        change, self._change, self._reading = self._change, None, None
        if change is not None:
            with suppress(TransientError):
                self._answer(change)
        self._answer(self._start_heartbeat())
        self._check(self._answer(self._ledger.start_read(self.chunk)))
        self.raise_if_stopping()

    def sleep(self, seconds: float) -> None:
        """Wait, and send heartbeats during the wait; MigrationStoppedError as soon as a stop is requested."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.raise_if_stopping()
            self.heartbeat()
            time.sleep(min(left, MAX_NAP))

    def run_blocking(self, call: Callable[[], Answer]) -> Answer:
        """Run a blocking call in a thread, and send heartbeats meanwhile; MigrationStoppedError as soon as a stop is
        requested."""
        waiting = self._thread.submit(call)
        while not wait_for((waiting,), HEARTBEAT_SECONDS).done:
            self.heartbeat()
            self.raise_if_stopping()
        return waiting.result()

    def raise_if_stopping(self) -> None:
        if self.stopping:
            raise MigrationStoppedError("the migration was stopped" if self._migration_stopped else "shutting down")

    def finish(
        self, state: State, error: str | None = None, retry_for: float | None = None, **progress: Any
    ) -> ChunkRecord:
        """Write the chunk's state and the rest of its progress, and end the lease.

        With `retry_for`, and once a stop was requested, this blocks and retries for some time. Without, the caller
        retries, and a stop that is requested meanwhile raises MigrationStoppedError. ChunkLostError where another
        worker owns the chunk by now.
        """
        self._settle()
        if retry_for is None and self.stopping:
            retry_for = RELEASE_RETRY_FOR
        ended = {"waiting": None, "waiting_seconds": 0.0, "seconds": self.current.seconds}
        changes = {**self._progress, **progress, **ended}
        change = partial(
            self._ledger.change, self.chunk, retry_for, **changes, state=state, owner=NOBODY, error=error
        )
        if retry_for is None:
            after = self._answer(Call(self._thread.submit(change), lambda failure: failure))
        else:
            after = change()
        if after is None:
            raise self._lost
        return after

    def release(self) -> None:
        """Return the chunk to the queue with the offset that it reached, without waiting long for the target."""
        self.finish(State.PENDING, retry_for=RELEASE_RETRY_FOR)

    def fail(self, error: QmigError) -> None:
        """Record that the chunk failed, unless another worker owns it by now.

        LedgerWriteError where the ledger cannot be written, for example because the target's disk is full.
        """
        if isinstance(error, ChunkLostError):
            return
        try:
            self.finish(State.FAILED, str(error), retry_for=RELEASE_RETRY_FOR)
        except TerminalError as second:
            raise LedgerWriteError(f"{error}; and the ledger cannot be written: {second}") from None
        except QmigError as second:
            # The chunk keeps this owner, and is requeued when the lease has expired.
            log.warning("chunk %d: its failure could not be recorded: %s", self.chunk.index + 1, second)

    def _start_heartbeat(self) -> Call[Any]:
        """Send the progress and the next heartbeat."""
        self._last_heartbeat, self._sent = time.monotonic(), steady_seconds()
        current = self.current
        self.chunk = replace(current, heartbeat=current.heartbeat + 1)
        return self._ledger.start_change(
            self.chunk,
            **self._progress,
            heartbeat=self.chunk.heartbeat,
            seconds=self.chunk.seconds,
            waiting_seconds=self.chunk.waiting_seconds,
        )

    def _answer(self, call: Call[Answer]) -> Answer:
        """Wait for an answer without heartbeats; MigrationStoppedError as soon as a stop is requested."""
        while not call.wait(MAX_NAP):
            self.raise_if_stopping()
        return call.result()

    @property
    def _lost(self) -> ChunkLostError:
        return ChunkLostError(
            f"chunk {self.chunk.index + 1} belongs to another worker by now, or is no longer in the ledger"
        )

    def _settle(self) -> None:
        """Wait for a change that is under way: it must not overtake the last one."""
        if self._change is not None:
            self._succeeded(self._change)
            self._change = None
        self._reading = None

    def _succeeded(self, call: Call[Any]) -> bool:
        try:
            call.result()
        except TransientError:
            # The next heartbeat writes the same progress and more.
            return False
        return True

    def _check(self, answer: Any) -> None:
        chunk, migration = self._ledger.parse_chunk_and_migration(answer)
        if chunk is None or chunk.owner != self.chunk.owner:
            raise self._lost
        self._confirmed = self._sent
        self._migration_stopped = migration is None or migration.state != State.RUNNING
        self.max_rate = None if migration is None else migration.max_rate


def steady_seconds() -> float:
    """Seconds of a steady clock that runs on while the machine is suspended, where the system has such a clock."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if sys.platform == "linux" else time.monotonic()
