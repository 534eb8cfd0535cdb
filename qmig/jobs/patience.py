"""Wait for a server that is away: its chunk says so, and after `--retry-for` the migration stops as one thing.

No chunk fails because a server is away. Each worker measures its own wait by its own clock and records it. When a
wait has lasted for `--retry-for`, its worker looks in the ledger what the others do. If they copy chunks of the
migration, the server is away for this worker or for this chunk only: the chunk is set aside for another worker. If
all of them have waited as long, the worker stops the migration, and the others read that with their next heartbeat.
So neither Redis nor a supervisor is needed, and no two hosts' clocks are compared.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable
from enum import Enum, auto
from typing import Any, TypeVar

from tenacity import Retrying, retry_if_exception_type

from qmig.errors import ChunkSetAsideError, MigrationStoppedError, TransientError
from qmig.formatting import short_duration
from qmig.jobs.session import Session
from qmig.ledger.lease import RELEASE_RETRY_FOR, Lease
from qmig.ledger.ledger import Ledger
from qmig.ledger.records import MigrationRecord, State
from qmig.rpc.connection import pause_before_retry

#: Chunks in a row that a worker sets aside before it may stop the migration: while only others get answers, the fault
#: is on its own side, also when there is nothing left for the others to copy.
MAX_SET_ASIDE = 5

Answer = TypeVar("Answer")

log = logging.getLogger(__name__)


class Verdict(Enum):
    """What follows from a wait that has lasted for `--retry-for`."""

    #: Wait on: the others have not waited as long yet.
    WAIT = auto()
    #: Leave the chunk to another worker: the others copy chunks.
    SET_ASIDE = auto()
    #: Stop the migration: nobody gets an answer.
    STOP = auto()


class Patience:
    """Retries the calls of one claimed chunk, and stops its migration when no worker gets an answer any more."""

    def __init__(self, lease: Lease, session: Session, record: MigrationRecord) -> None:
        """`record` is the migration as it was read when the chunk was claimed: only that run is stopped."""
        self._lease = lease
        self._session = session
        self._ledger = session.ledger
        self._record = record

    def retrying(self, attempt: Callable[[], Answer]) -> Answer:
        """Return what `attempt` returns. Retry it after transient errors, with heartbeats in between.

        MigrationStoppedError where the migration was stopped, by this worker too, or the chunk is set aside;
        TransientError where that could not be found out, because the ledger does not answer.
        """
        wait = _Wait(self._lease, self._ledger, self._record)
        try:
            answer = Retrying(
                retry=retry_if_exception_type(TransientError),
                wait=wait.pause,
                stop=wait.is_over,
                sleep=self._lease.sleep,
                before_sleep=wait.note,
                reraise=True,
            )(attempt)
        except TransientError as error:
            match wait.verdict:
                case Verdict.STOP if not 0 < self._session.set_aside < MAX_SET_ASIDE:
                    self._stop_migration(error)
                case Verdict.STOP | Verdict.SET_ASIDE:
                    self._session.set_aside += 1
                    raise ChunkSetAsideError(f"{error}; set aside: other workers got answers meanwhile") from None
            raise
        wait.end()
        return answer

    def _stop_migration(self, error: TransientError) -> None:
        """Stop the migration for everyone, and raise MigrationStoppedError."""
        retry_for = self._record.definition.options.retry_for
        reason = (
            f"{error}; no chunk could be copied for {short_duration(retry_for)} (--retry-for), so the migration was "
            "stopped; the offsets are kept, and the same command resumes from them"
        )
        self._lease.run_blocking(
            lambda: self._ledger.change_migration(self._record, state=State.STOPPED, error=reason, waiting=None)
        )
        raise MigrationStoppedError(reason)


class _Wait:
    """One call's wait for a server."""

    def __init__(self, lease: Lease, ledger: Ledger, record: MigrationRecord) -> None:
        self._lease = lease
        self._ledger = ledger
        self._record = record
        self._retry_for = record.definition.options.retry_for
        #: When the first attempt failed.
        self._since: float | None = None
        #: The unfinished chunks of the migration when the wait began, if the ledger answered.
        self._left: int | None = None
        #: What follows from the wait.
        self.verdict = Verdict.WAIT

    def is_over(self, _state: Any) -> bool:
        """Whether the wait ends after an attempt that has failed."""
        now = time.monotonic()
        if self._since is None:
            self._since = now
            self._left = self._unfinished(0)
        if now - self._since < self._retry_for:
            return False
        try:
            self.verdict = self._look()
        except TransientError as error:
            log.warning("chunk %d: %s; given up", self._lease.chunk.index + 1, error)
            return True
        return self.verdict != Verdict.WAIT

    def pause(self, state: Any) -> float:
        """Seconds before the next attempt; a server that asks for more than the wait may last gets that."""
        return min(pause_before_retry(state), self._retry_for)

    def note(self, state: Any) -> None:
        """Record the reason in the chunk before the pause, and log it once."""
        error, chunk = state.outcome.exception(), self._lease.current
        if chunk.waiting is None:
            log.warning("chunk %d: %s; waiting", chunk.index + 1, error)
        reasons = Counter(chunk.retry_reasons) + Counter([error.reason])
        self._lease.advance(retries=chunk.retries + 1, retry_reasons=dict(reasons), waiting=str(error))
        self._lease.waiting_since = self._since

    def end(self) -> None:
        """Take back the reason when an attempt has succeeded."""
        if self._since is not None:
            log.info(
                "chunk %d: goes on after %s",
                self._lease.chunk.index + 1,
                short_duration(time.monotonic() - self._since),
            )
            self._lease.advance(waiting=None)
            self._lease.waiting_since = None

    def _look(self) -> Verdict:
        """Look what the other workers do. TransientError where the ledger does not answer."""
        left, before = self._unfinished(RELEASE_RETRY_FOR), self._left
        self._left = left
        running = self._lease.run_blocking(lambda: self._ledger.chunks_in(self._record, State.RUNNING))
        others = [chunk for chunk in running if chunk.index != self._lease.chunk.index]
        if before not in (None, left) or any(chunk.waiting is None for chunk in others):
            return Verdict.SET_ASIDE
        # A worker whose wait began later looks later.
        is_last = before is not None and all(chunk.waiting_seconds >= self._retry_for for chunk in others)
        return Verdict.STOP if is_last else Verdict.WAIT

    def _unfinished(self, retry_for: float) -> int | None:
        """The number of unfinished chunks. None where the ledger does not answer and the call is not retried."""
        try:
            return self._lease.run_blocking(lambda: self._ledger.unfinished(self._record, retry_for))
        except TransientError:
            if retry_for:
                raise
            return None
