"""A worker's hold on a chunk: signs of life in the ledger, and the order to stop.

No clock is compared with another's: an owner counts its beats in the ledger, and whoever watches takes a chunk
for abandoned once the count has stood still for `LEASE_SECONDS` of the watcher's own time.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from dataclasses import replace
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
from qmig.ledger.owner import owner_is_dead
from qmig.ledger.records import NOBODY, ChunkRecord, State
from qmig.rpc.call import Call
from qmig.rpc.connection import retrying

# Seconds between two beats: what a kill -9 repeats at most, with the batch in flight.
HEARTBEAT_SECONDS = 1.0
LEASE_SECONDS = 15.0
# Seconds for which a last word is tried again when the worker has nothing else left to do.
RELEASE_RETRY_FOR = 10.0

Answer = TypeVar("Answer")

log = logging.getLogger(__name__)


def has_expired(owner: str, still: float) -> bool:
    """Whether an owner that has given no sign of life for so many seconds counts as gone."""
    return still >= LEASE_SECONDS or owner_is_dead(owner)


class Lease:
    """One claimed chunk. `advance` moves its offset in memory, `keep` now and then writes it to the ledger.

    `max_rate` is the migration's limit, as it was at the last beat. `stop_requested` says whether this worker is
    shutting down; `on_heartbeat` gets the chunk at each beat.
    """

    def __init__(
        self,
        ledger: Ledger,
        chunk: ChunkRecord,
        max_rate: int | None,
        stop_requested: Callable[[], bool],
        on_heartbeat: Callable[[ChunkRecord, float], None],
    ) -> None:
        self.chunk = chunk
        self.max_rate = max_rate
        self._ledger = ledger
        self._stop_requested = stop_requested
        self._on_heartbeat = on_heartbeat
        self._progress: dict[str, Any] = {}
        self._started = time.monotonic()
        self._seconds_before = chunk.seconds
        self._last_heartbeat = self._started
        self._change: Call[Any] | None = None
        self._look: Call[Any] | None = None
        self._migration_stopped = False
        self._thread = ThreadPoolExecutor(1)

    def advance(self, **progress: Any) -> None:
        """Record progress; all before `offset` must be durably in the target."""
        self._progress.update(progress)

    @property
    def current(self) -> ChunkRecord:
        """The chunk with the progress made since its last beat."""
        seconds = self._seconds_before + time.monotonic() - self._started
        return replace(self.chunk, **self._progress, seconds=round(seconds, 3))

    @property
    def stopping(self) -> bool:
        return self._migration_stopped or self._stop_requested()

    def heartbeat(self) -> None:
        """Beat when it is time to; never waits. ChunkLostError where the chunk is another's by now."""
        if self._change is not None and self._change.wait(0):
            change, self._change = self._change, None
            if self._succeeded(change):
                self._look = self._ledger.start_look(self.chunk)
        if self._look is not None and self._look.wait(0):
            look, self._look = self._look, None
            if self._succeeded(look):
                self._check(look.result())
        now = time.monotonic()
        if self._change is None and self._look is None and now - self._last_heartbeat >= HEARTBEAT_SECONDS:
            self._last_heartbeat = now
            self.chunk = self._with_heartbeat()
            self._change = self._ledger.start_change(
                self.chunk, **self._progress, heartbeat=self.chunk.heartbeat, seconds=self.chunk.seconds
            )
            self._on_heartbeat(self.chunk, now - self._started)

    def sleep(self, seconds: float) -> None:
        """Wait and keep the chunk; MigrationStoppedError as soon as it is time to stop."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.raise_if_stopping()
            self.heartbeat()
            time.sleep(min(left, 0.2))

    def retrying(self, retry_for: float, attempt: Callable[[], Answer]) -> Answer:
        """What `attempt` returns, called again after transient errors for `retry_for` seconds; the chunk is kept
        meanwhile, and says why it waits."""
        return retrying(retry_for, sleep=self.sleep, before_sleep=self._note_retry)(attempt)

    def run_blocking(self, call: Callable[[], Answer]) -> Answer:
        """The answer to a call that waits, with the chunk kept meanwhile; MigrationStoppedError as soon as it is time
        to stop."""
        waiting = self._thread.submit(call)
        while not wait_for((waiting,), HEARTBEAT_SECONDS).done:
            self.heartbeat()
            self.raise_if_stopping()
        return waiting.result()

    def raise_if_stopping(self) -> None:
        if self.stopping:
            raise MigrationStoppedError("the migration was stopped" if self._migration_stopped else "shutting down")

    def finish(
        self, state: str, error: str | None = None, retry_for: float | None = None, **progress: Any
    ) -> ChunkRecord:
        """Write the chunk's last word, with the last of its progress, and let go of it.

        ChunkLostError where it is another's by now.
        """
        self._settle()
        current = self.current
        after = self._ledger.change(
            self.chunk,
            retry_for,
            **{**self._progress, **progress, "waiting": None},
            seconds=current.seconds,
            state=state,
            owner=NOBODY,
            error=error,
        )
        if after is None:
            raise ChunkLostError(f"chunk {self.chunk.index + 1} belongs to another worker by now")
        return after

    def release(self) -> None:
        """Give the chunk back with the offset that it reached; a target that is away is not waited for."""
        self.finish(State.PENDING, retry_for=RELEASE_RETRY_FOR)

    def fail(self, error: QmigError) -> None:
        """Record that the chunk failed, unless it is another's by now: then its state is no longer ours.

        LedgerWriteError where the ledger refuses to be written, as it does when the target's disk is full.
        """
        if isinstance(error, ChunkLostError):
            return
        try:
            self.finish(State.FAILED, str(error), retry_for=RELEASE_RETRY_FOR)
        except TerminalError as second:
            raise LedgerWriteError(f"{error}; and the ledger cannot be written: {second}") from None
        except QmigError as second:
            # The chunk stays this owner's, and is taken up again when the lease has lapsed.
            log.warning("chunk %d: its failure could not be recorded: %s", self.chunk.index + 1, second)

    def _note_retry(self, state: Any) -> None:
        error, chunk = state.outcome.exception(), self.current
        log.warning("chunk %d: %s; trying again", chunk.index + 1, error)
        reasons = Counter(chunk.retry_reasons) + Counter([error.reason])
        self.advance(retries=chunk.retries + 1, retry_reasons=dict(reasons), waiting=str(error))

    def _with_heartbeat(self) -> ChunkRecord:
        current = self.current
        return replace(current, heartbeat=current.heartbeat + 1)

    def _settle(self) -> None:
        """Let a change that is under way end: it must not overtake the last one."""
        if self._change is not None:
            self._succeeded(self._change)
            self._change = None
        self._look = None

    def _succeeded(self, call: Call[Any]) -> bool:
        try:
            call.result()
        except TransientError:
            # The next beat carries the same and more.
            return False
        return True

    def _check(self, answer: Any) -> None:
        chunk, migration = self._ledger.seen(answer)
        if chunk is None or chunk.owner != self.chunk.owner:
            raise ChunkLostError(f"chunk {self.chunk.index + 1} belongs to another worker by now")
        self._migration_stopped = migration is None or migration.state != State.RUNNING
        self.max_rate = None if migration is None else migration.max_rate
