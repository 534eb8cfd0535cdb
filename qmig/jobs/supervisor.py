"""Drive a migration to its end: queue chunks, requeue stalled ones, reconcile counts, restore the target's settings.

Any worker does this, one at a time for a migration, every few seconds and after each chunk that leaves the queue
empty. So a migration needs no coordinator once it is planned. All durable state is in the ledger; the registry on
Redis may be lost.
"""

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any

from qmig.broker.access import AccessGrant
from qmig.broker.fleet import Fleet
from qmig.broker.task import ChunkTask, MigrationTask
from qmig.errors import QmigError, TerminalError, TransientError, WorkerError
from qmig.formatting import pluralize, short_duration
from qmig.jobs.reconciliation import reconcile
from qmig.ledger.cancel import close_cancelled
from qmig.ledger.collection import PAGE
from qmig.ledger.findings import Findings
from qmig.ledger.lease import LEASE_SECONDS
from qmig.ledger.ledger import Ledger
from qmig.ledger.owner import Owner
from qmig.ledger.records import ChunkRecord, JobKind, MigrationRecord, RangeOf, Reconciliation, State
from qmig.ledger.rejects import rejects_of
from qmig.ledger.settle import put_back, put_back_without_ledger
from qmig.ledger.stalled import LastChange
from qmig.qdrant.identity import check_same
from qmig.qdrant.reader import CollectionReader
from qmig.rpc.connection import RETRY_FOR
from qmig.sources.base import Source
from qmig.sources.registry import open_source

#: Failed chunks that the migration's error names; further ones are counted.
MAX_FAILURES = 5
#: The result when a command has changed the migration's state or run while the supervisor was running.
CHANGED_MEANWHILE = "nothing to do: the migration was paused, stopped, cancelled or begun again meanwhile"
#: The result when the task is not the one that the migration is registered with: it is of an earlier command, whose
#: access to the servers may be an old one.
SUPERSEDED = "nothing to do: the migration is registered with another task by now, or no longer"
#: The result when another worker holds the migration's lock.
LOCKED = "nothing to do: another worker supervises the migration"
#: The result when a migration is cancelled while workers still hold chunks.
CANCELLING = "cancelled: the batches in flight may end"

log = logging.getLogger(__name__)


class Supervisor:
    """Supervises the migration of one task."""

    def __init__(self, ledger: Ledger, fleet: Fleet, task: MigrationTask, access: AccessGrant) -> None:
        self._ledger = ledger
        self._fleet = fleet
        self._task = task
        self._access = access

    def run_once(self) -> str:
        """Do the next step of the migration, unless another worker is doing it. Return what was done, as text."""
        self._fleet.registry.supervision_started(self._task.migration)
        with self._fleet.registry.lock(self._task.migration) as is_locked:
            if not is_locked:
                return LOCKED
            if self._fleet.registry.registration(self._task.migration) != self._task:
                return SUPERSEDED
            record = self._read()
            if record is None:
                return self._give_up()
            if record.state not in (State.RUNNING, State.PAUSED, State.CANCELLED):
                self._fleet.registry.forget(self._task)
                return f"nothing to do: the migration is {record.state}"
            self._access.check(record)
            if record.state == State.CANCELLED:
                return self._cancel(record)
            if record.state == State.PAUSED:
                return "nothing to do: the migration is paused"
            return self._drive(record)

    def _read(self) -> MigrationRecord | None:
        """Read the migration's record. A record that cannot be read is not supervised any more."""
        try:
            # The next supervision is due in seconds: no worker waits for a target that is unavailable.
            return self._ledger.migration(self._task.migration, RETRY_FOR)
        except WorkerError:
            raise
        except TerminalError:
            # Every worker would log the same error for ever.
            self._fleet.registry.forget(self._task)
            raise

    def _give_up(self) -> str:
        """End the supervision of a migration that is not in the ledger, and put its target's settings back."""
        found = put_back_without_ledger(self._ledger.server, self._task.migration)
        self._fleet.registry.forget(self._task)
        settings = f"; the settings of {', '.join(map(repr, found))} were put back" if found else ""
        log.warning(
            "migration %s is not in the ledger %r, which was deleted or lost the record%s",
            self._task.migration,
            self._ledger.name,
            settings,
        )
        return f"nothing to do: the migration is not in the ledger{settings}"

    def _drive(self, record: MigrationRecord) -> str:
        """Do the next step of a running migration. A terminal error ends the migration, and is its text."""
        try:
            return self._next_step(record)
        except (TransientError, WorkerError):
            # The step is due again in seconds, and another worker may do it.
            raise
        except QmigError as error:
            return self._fail(record, str(error))
        except Exception as error:
            # A defect ends the migration and is named there. Otherwise every supervision would fail with it.
            self._fail(record, f"unexpected {type(error).__name__}: {error}")
            raise

    def _next_step(self, record: MigrationRecord) -> str:
        """Queue new chunks, and requeue stalled ones. When no chunk is left, bring the migration to its end."""
        if queued := self._queue_new(record):
            return f"queued {pluralize(queued, 'chunk')}"
        if requeued := self._requeue(record):
            return f"requeued {pluralize(requeued, 'chunk')}"
        if not record.planned or self._ledger.has_unfinished(record):
            return "chunks are left"
        began = time.monotonic()
        try:
            return self._finish(record)
        except (TransientError, WorkerError) as error:
            return self._wait_at_the_end(record, error, time.monotonic() - began)

    def _wait_at_the_end(self, record: MigrationRecord, error: QmigError, seconds: float) -> str:
        """Record why the checks at the end wait, and stop the migration when they have waited for `--retry-for`.

        `seconds` is how long this attempt took. The sum in the ledger needs neither Redis nor another host's clock.
        """
        retry_for, waited = record.definition.options.retry_for, record.waiting_seconds + seconds
        if waited < retry_for:
            self._ledger.change_migration(record, waiting=str(error), waiting_seconds=waited)
            raise error
        reason = (
            f"{error}; every chunk is done, but both ends could not be checked for {short_duration(retry_for)} "
            "(--retry-for); the same command checks them again"
        )
        return self._close(record, State.STOPPED, f"stopped: {reason}", finished=None, error=reason)

    # Chunks

    def _queue_new(self, record: MigrationRecord) -> int:
        """Queue the planned chunks that are not queued yet. Return their number.

        In a new run, and after the broker has lost what was queued, these are all unfinished chunks.
        """
        registry = self._fleet.registry
        first = registry.queued_chunks(record.run)
        if first >= record.chunks:
            return 0
        chunks = self._ledger.chunks(record.migration, range(first, record.chunks))
        # Chunks that no worker has had come first: one that stopped the run before, because a part of the source is
        # away, must not stop this one before the others are copied.
        unfinished = sorted((chunk for chunk in chunks if not chunk.finished), key=lambda chunk: chunk.claims > 0)
        if unfinished:
            self._fleet.queue(record, [(self._task_of(record, chunk), chunk) for chunk in unfinished])
        registry.save_queued_chunks(record.run, record.chunks)
        return len(unfinished)

    def _requeue(self, record: MigrationRecord) -> int:
        """Requeue stalled chunks, and pending chunks whose task was lost. Return their number."""
        registry = self._fleet.registry
        try:
            is_queue_empty = self._fleet.queued() == 0
            chunks = self._ledger.chunks_in(record, State.RUNNING)
            if is_queue_empty:
                chunks += self._ledger.chunks_in(record, State.PENDING, PAGE)
            changes, now = self._last_changes(record, chunks)
        except TransientError:
            # While the ledger could not be read, no heartbeat could be seen: every lease begins again.
            registry.save_last_changes(record.run, {})
            raise
        expired = [chunk for chunk in chunks if changes[chunk.index].has_expired(now)]
        # A chunk that was requeued waits for its turn. With an empty queue its task was lost.
        stalled = [chunk for chunk in expired if is_queue_empty or not changes[chunk.index].queued]
        if stalled:
            self._fleet.queue(record, [(self._stalled_task(record, chunk), chunk) for chunk in stalled], urgent=True)
        for chunk in stalled:
            log.info("requeued chunk %d: %s", chunk.index + 1, _requeue_reason(chunk))
            changes[chunk.index] = LastChange(chunk.state, chunk.owner, chunk.heartbeat, now, queued=True)
        registry.save_last_changes(record.run, changes)
        return len(stalled)

    def _task_of(
        self, record: MigrationRecord, chunk: ChunkRecord, abandoned: tuple[str, int] | None = None
    ) -> ChunkTask:
        return ChunkTask(migration_task=self._task, run=record.run, chunk=chunk.index, abandoned=abandoned)

    def _stalled_task(self, record: MigrationRecord, chunk: ChunkRecord) -> ChunkTask:
        """Make the task of a stalled chunk. It names the owner from whom the chunk may be claimed."""
        return self._task_of(record, chunk, (chunk.owner, chunk.heartbeat) if chunk.owner else None)

    def _last_changes(
        self, record: MigrationRecord, chunks: Sequence[ChunkRecord]
    ) -> tuple[dict[int, LastChange], float]:
        """The time of each chunk's last change, by its index, and the present time; both by Redis' clock."""
        before, now = self._fleet.registry.last_changes(record.run), self._fleet.registry.now()
        return {chunk.index: LastChange.of(chunk, before.get(chunk.index), now) for chunk in chunks}, now

    # The end

    def _finish(self, record: MigrationRecord) -> str:
        """Reconcile the counts and restore the target's settings, or record what failed."""
        chunks = self._ledger.chunks(record.migration, range(record.chunks))
        if failed := [chunk for chunk in chunks if chunk.state == State.FAILED]:
            if any(chunk.run != record.run for chunk in failed):
                self._ledger.reopen(record)
                return "reopened chunks that failed in an earlier run"
            return self._fail(record, _failures(failed))
        if record.job == JobKind.VERIFY:
            return self._finish_verification(record, chunks)
        reconciliation = self._reconcile(record, chunks)
        if reconciliation.errors:
            return self._fail(
                record,
                f"{'; '.join(reconciliation.errors)}. `qmig verify --repair` copies what is missing, "
                "--restart-migration copies everything again; the target keeps its points",
                reconciliation=reconciliation,
            )
        if not self._ledger.is_current(record):
            return CHANGED_MEANWHILE
        if left := put_back(self._ledger, record):
            reconciliation.notices.append(left)
        return self._close(
            record,
            State.DONE,
            f"done: {reconciliation.read - reconciliation.rejected:,} points are in the target",
            final_settings=None,
            reconciliation=reconciliation,
        )

    def _reconcile(self, record: MigrationRecord, chunks: Sequence[ChunkRecord]) -> Reconciliation:
        migration = record.definition
        target = CollectionReader(self._ledger.server, migration.target.collection)

        def rejected_ids(chunk: ChunkRecord) -> set[str]:
            return {reject.point for reject in rejects_of(self._ledger, chunk.migration, chunk.index)}

        with self._recognised_source(record) as source:
            return reconcile(record, chunks, source, target, rejected_ids)

    @contextmanager
    def _recognised_source(self, record: MigrationRecord) -> Iterator[Source]:
        """The source. TerminalError unless both ends are the collections that the migration was begun with."""
        source, target = record.definition.source, record.definition.target
        with closing(open_source(record.definition, self._access.credentials, RETRY_FOR)) as opened:
            opened.check_unchanged(source.identity)
            check_same(CollectionReader(self._ledger.server, target.collection), target.identity)
            yield opened

    def _finish_verification(self, record: MigrationRecord, chunks: Sequence[ChunkRecord]) -> str:
        """Sum up the findings of a verification, if both ends are still the collections that were compared."""
        with self._recognised_source(record):
            findings = Findings()
        for chunk in chunks:
            findings.add(chunk.findings or Findings())
        compared = sum(chunk.read for chunk in chunks if chunk.range_of == RangeOf.SOURCE)
        result = f"done: {compared:,} points compared, {findings.text or 'all of them equal'}"
        return self._close(record, State.DONE, result, compared=compared, findings=findings)

    def _fail(self, record: MigrationRecord, error: str, **changes: Any) -> str:
        """Record that the migration has failed, and put the target's settings back: nobody may call it again.

        If the ledger cannot be written, tell the registry.
        """
        try:
            if not self._ledger.is_current(record):
                return CHANGED_MEANWHILE
            if problem := self._put_back_after_failure(record):
                error = f"{error}; {problem}"
            else:
                changes["final_settings"] = None
            return self._close(record, State.FAILED, f"failed: {error}", error=error, **changes)
        except TerminalError:
            self._fleet.registry.report_ledger_failure(record.run, error)
            raise

    def _put_back_after_failure(self, record: MigrationRecord) -> str | None:
        """Put the target's settings back; why that failed, or None."""
        try:
            put_back(self._ledger, record)
        except QmigError as error:
            return f"the target's settings could not be put back either: {error}; `qmig cancel` does so"
        return None

    def _close(self, record: MigrationRecord, state: State, result: str, **changes: Any) -> str:
        """Record the migration's last state, unless a command has changed the migration since it was read."""
        finished = None if state == State.FAILED else time.time()
        last = {"finished": finished, "waiting": None, "waiting_seconds": 0.0, "error": None, **changes}
        if not self._ledger.change_migration(record, state=state, **last):
            return CHANGED_MEANWHILE
        self._fleet.registry.forget(self._task)
        return result

    def _cancel(self, record: MigrationRecord) -> str:
        """Put the target's settings back when no worker holds a chunk any more, as `qmig cancel` itself does."""
        if record.finished is None:
            running = self._ledger.held(record.migration)
            changes, now = self._last_changes(record, running)
            self._fleet.registry.save_last_changes(record.run, changes)
            if any(not changes[chunk.index].has_expired(now) for chunk in running):
                return CANCELLING
            close_cancelled(self._ledger, record)
        self._fleet.registry.forget(self._task)
        return "cancelled"


def _requeue_reason(chunk: ChunkRecord) -> str:
    if not chunk.owner:
        return "it has no owner, and nothing is queued"
    owner = Owner.parse(chunk.owner)
    return f"worker {owner.pid} on {owner.host} has died, or has sent no heartbeat for {LEASE_SECONDS:g} s"


def _failures(failed: list[ChunkRecord]) -> str:
    """The error of a migration with failed chunks."""
    shown = "; ".join(f"chunk {chunk.index + 1}: {chunk.error}" for chunk in failed[:MAX_FAILURES])
    more = f"; and {len(failed) - MAX_FAILURES} more" if len(failed) > MAX_FAILURES else ""
    chunks = pluralize(len(failed), "chunk")
    return f"{chunks} failed, the others are done: {shown}{more}. The same command retries them"
