"""Run a worker's tasks: claim a chunk and copy or verify it, or supervise a migration."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

from qmig.broker.fleet import Fleet
from qmig.broker.rate_limit import RateLimiter
from qmig.broker.task import ChunkTask, MigrationTask, progress_text, result_text
from qmig.errors import (
    AccessError,
    LedgerLostError,
    LedgerWriteError,
    MigrationStoppedError,
    QmigError,
    TerminalError,
    TransientError,
)
from qmig.jobs.chunk_io import ChunkIO
from qmig.jobs.copy_chunk import copy_chunk
from qmig.jobs.find_extra import find_extra
from qmig.jobs.session import Session, Sessions
from qmig.jobs.supervisor import Supervisor
from qmig.jobs.verify_chunk import verify_chunk
from qmig.ledger.lease import MAX_NAP, Lease, steady_seconds
from qmig.ledger.owner import Owner
from qmig.ledger.records import ChunkRecord, JobKind, MigrationRecord, RangeOf, State
from qmig.rpc.connection import RETRY_FOR, retrying

#: Owners in a row that may be lost at a chunk before it fails. A chunk that exhausts the memory would otherwise kill
#: every worker.
MAX_LOST_OWNERS = 5
#: The result of a task that was queued before the present run.
EARLIER_RUN = "nothing to do: the task is of an earlier run"

log = logging.getLogger(__name__)


@dataclass
class Worker:
    """One process that runs tasks, and keeps its connections from task to task. Make it after the fork."""

    #: Connects to the fleet.
    open_fleet: Callable[[], Fleet]
    #: Whether the worker is shutting down.
    stop_requested: Callable[[], bool] = lambda: False
    _sessions: Sessions = field(default_factory=Sessions)

    @cached_property
    def fleet(self) -> Fleet:
        """The fleet that this worker belongs to."""
        return self.open_fleet()

    @cached_property
    def _rate_limiter(self) -> RateLimiter:
        return RateLimiter(self.fleet.registry)

    def run_chunk(self, task: ChunkTask, report: Callable[[str], None]) -> str:
        """Copy or verify the task's chunk, and return the result as text. `report` gets the progress every second.

        MigrationStoppedError: the chunk was released. ChunkLostError: another worker has it. Any other error is the
        chunk's failure.
        """
        migration = task.migration_task.migration
        ledger = self._sessions.open(task.migration_task).ledger
        try:
            seen, record = self._read_ledger(task)
        except AccessError:
            if self.fleet.registry.registration(migration) in (None, task.migration_task):
                raise
            return EARLIER_RUN
        if record is None:
            self._sessions.forget_definition(task.migration_task)
            raise LedgerLostError(
                f"migration {migration} is not in the ledger {ledger.name!r} at "
                f"{ledger.server.endpoint.url}; nothing was done"
            )
        if record.run != task.run:
            return EARLIER_RUN
        session = self._sessions.update(task.migration_task, record)
        if record.state != State.RUNNING:
            return f"nothing to do: the migration is {record.state}"
        if task.chunk >= record.chunks:
            return f"nothing to do: the plan has {record.chunks} chunks"
        if seen is None:
            raise TerminalError(
                f"chunk {task.chunk + 1} of migration {migration} is not in the ledger; nothing was done"
            )
        if seen.finished:
            return f"nothing to do: the chunk is {seen.state}"
        if not _is_claimable(seen, task):
            return f"nothing to do: the chunk belongs to a worker on {Owner.parse(seen.owner).host}"
        try:
            claimed = steady_seconds()
            chunk = ledger.claim_in_run(seen, record, Owner.new(), RETRY_FOR)
            if chunk is None:
                return "nothing to do: another worker has claimed the chunk, or the migration was changed meanwhile"
            return result_text(self._run_claimed(session, record, chunk, claimed, report))
        except LedgerWriteError as error:
            self.fleet.registry.report_ledger_failure(record.run, str(error))
            raise

    def _read_ledger(self, task: ChunkTask) -> tuple[ChunkRecord | None, MigrationRecord | None]:
        """Read the task's chunk and its migration. Keep the task while the target is away: the next ones need it too.

        TransientError after `--retry-for`; the supervisor then requeues the chunk. The tasks after it wait only
        briefly, so that those of other migrations get their turn. MigrationStoppedError when the worker shuts down.
        """
        session = self._sessions.open(task.migration_task)

        def note(state: Any) -> None:
            if state.attempt_number == 1:
                log.warning("chunk %d: %s; waiting", task.chunk + 1, state.outcome.exception())

        attempts = retrying(session.patience, sleep=self._sleep, before_sleep=note)
        try:
            read = attempts(session.ledger.chunk_and_migration, task.migration_task.migration, task.chunk, 0)
        except TransientError:
            session.is_target_away = True
            raise
        session.is_target_away = False
        return read

    def _sleep(self, seconds: float) -> None:
        """Wait; MigrationStoppedError as soon as the worker is told to shut down."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if self.stop_requested():
                raise MigrationStoppedError("shutting down")
            time.sleep(min(left, MAX_NAP))

    def _run_claimed(
        self,
        session: Session,
        record: MigrationRecord,
        chunk: ChunkRecord,
        claimed: float,
        report: Callable[[str], None],
    ) -> ChunkRecord:
        """Run the job on a chunk, and record its end: done, failed, or released with its offset so far.

        `claimed` is when the claim was sent, in `steady_seconds`.
        """
        before = chunk.acknowledged
        lease = Lease(
            session.ledger,
            chunk,
            record.max_rate,
            self.stop_requested,
            lambda now, seconds: report(progress_text(now, before, seconds)),
            claimed,
        )
        io = ChunkIO(lease, session, self._rate_limiter, record)
        try:
            _check_lost_owners(chunk)
            io.run_blocking(session.connect)
            return _job(record, chunk)(io)
        except (MigrationStoppedError, TransientError):
            # A server that is away is no failure of the chunk. Where the ledger is away, too, the lease expires.
            lease.release()
            raise
        except QmigError as error:
            lease.fail(error)
            raise
        except Exception as error:
            # A defect fails its chunk and is named there. Otherwise the chunk would be retried endlessly.
            lease.fail(TerminalError(f"unexpected {type(error).__name__}: {error}"))
            raise

    def after_chunk(self, task: ChunkTask) -> None:
        """Supervise the migration at once if nothing is queued any more: it may be at its end.

        A migration that is in its ledger is registered again with a broker that has lost it.
        """
        migration_task = task.migration_task
        if not self._sessions.is_in_ledger(migration_task, task.run):
            return
        registered = self.fleet.registry.registration(migration_task.migration)
        if registered is None:
            self.fleet.register(migration_task)
        if self.fleet.queued() == 0:
            # The newest registration counts, whatever this chunk was queued with.
            self.supervise(registered or migration_task)

    def supervise(self, task: MigrationTask) -> str:
        """Supervise the task's migration, and return what was done as text."""
        session = self._sessions.open(task)
        return Supervisor(session.ledger, self.fleet, task, session.access).run_once()


def _job(record: MigrationRecord, chunk: ChunkRecord) -> Callable[[ChunkIO], ChunkRecord]:
    if record.job == JobKind.COPY:
        return copy_chunk
    return partial(find_extra if chunk.range_of == RangeOf.TARGET else verify_chunk, record=record)


def _is_claimable(chunk: ChunkRecord, task: ChunkTask) -> bool:
    """Whether the chunk has no owner, or its owner is dead, or is the one whose lease the supervisor saw expire."""
    return not chunk.owner or Owner.parse(chunk.owner).is_dead or (chunk.owner, chunk.heartbeat) == task.abandoned


def _check_lost_owners(chunk: ChunkRecord) -> None:
    """TerminalError if too many workers in a row were lost at this chunk."""
    if chunk.lost_owners >= MAX_LOST_OWNERS:
        raise TerminalError(
            f"{chunk.lost_owners} workers in a row died or stopped sending heartbeats at this chunk without copying "
            "a batch, perhaps for lack of memory; see the system's log on their hosts, and try a smaller "
            "--batch-bytes or --batch-size"
        )
