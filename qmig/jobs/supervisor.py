"""Drive a migration to its end: queue chunks, requeue stalled ones, compare ids, restore the target's settings.

Any worker does this, one at a time for a migration, every few seconds and after each chunk that leaves the queue
empty. So a migration needs no coordinator once it is planned. All durable state is in the ledger; the registry on
Redis may be lost.
"""

import base64
import logging
import time
from collections.abc import Sequence
from contextlib import closing
from typing import Any

from qmig.broker.access import AccessGrant
from qmig.broker.fleet import Fleet
from qmig.broker.task import ChunkTask, MigrationTask
from qmig.errors import TerminalError, TransientError
from qmig.formatting import pluralize
from qmig.jobs.compare_ids import Comparer
from qmig.jobs.reconciliation import reconcile, settings_changes
from qmig.ledger.collection import PAGE
from qmig.ledger.findings import Findings
from qmig.ledger.lease import LEASE_SECONDS
from qmig.ledger.ledger import Ledger
from qmig.ledger.owner import Owner
from qmig.ledger.reconciliation import IdComparison
from qmig.ledger.records import ChunkRecord, JobKind, MigrationRecord, RangeOf, State
from qmig.ledger.rejects import rejects_of
from qmig.ledger.stalled import LastChange
from qmig.ledger.verdict import judge
from qmig.qdrant import messages as api
from qmig.qdrant.collection import existing_collection_info, is_custom
from qmig.qdrant.reader import CollectionReader
from qmig.qdrant.routing import Router
from qmig.rpc.connection import RETRY_FOR
from qmig.sources.base import Source
from qmig.sources.registry import open_source

#: Failed chunks that the migration's error names; further ones are counted.
MAX_FAILURES = 5
#: Seconds for which one supervision compares ids; the next one goes on. A worker that is asked to stop waits for it.
COMPARE_SECONDS = 5.0
#: The result when a command has changed the migration's state or run while the supervisor was running.
CHANGED_MEANWHILE = "nothing to do: the migration was paused, stopped, cancelled or begun again meanwhile"
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
            # The next supervision is due in seconds: no worker waits for a target that is unavailable.
            record = self._ledger.migration(self._task.migration, RETRY_FOR)
            if record is None or record.state not in (State.RUNNING, State.PAUSED, State.CANCELLED):
                self._fleet.registry.forget(self._task.migration)
                return f"nothing to do: the migration is {'not in the ledger' if record is None else record.state}"
            self._access.check(record)
            if record.state == State.CANCELLED:
                return self._cancel(record)
            if record.state == State.PAUSED:
                return "nothing to do: the migration is paused"
            return self._drive(record)

    def _drive(self, record: MigrationRecord) -> str:
        """Queue new chunks, and requeue stalled ones. When no chunk is left, bring the migration to its end."""
        if queued := self._queue_new(record):
            return f"queued {pluralize(queued, 'chunk')}"
        if requeued := self._requeue(record):
            return f"requeued {pluralize(requeued, 'chunk')}"
        left = self._ledger.unfinished(record.migration)
        if left or not record.planned:
            return f"{pluralize(left, 'chunk')} left"
        try:
            return self._finish(record)
        except TransientError as error:
            self._ledger.update_migration(record.migration, waiting=str(error))
            raise
        except TerminalError as error:
            return self._fail(record, str(error))
        except Exception as error:
            # A defect ends the migration and is named there. Otherwise every supervision would fail with it.
            self._fail(record, f"unexpected {type(error).__name__}: {error}")
            raise

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
        unfinished = [chunk for chunk in chunks if not chunk.finished]
        if unfinished:
            self._fleet.queue(
                record, [(ChunkTask(migration_task=self._task, chunk=chunk.index), chunk) for chunk in unfinished]
            )
        registry.save_queued_chunks(record.run, record.chunks)
        return len(unfinished)

    def _requeue(self, record: MigrationRecord) -> int:
        """Requeue stalled chunks, and pending chunks whose task was lost. Return their number."""
        registry = self._fleet.registry
        try:
            is_queue_empty = self._fleet.queued() == 0
            chunks = self._ledger.chunks_in(record.migration, State.RUNNING)
            if is_queue_empty:
                chunks += self._ledger.chunks_in(record.migration, State.PENDING, PAGE)
            changes, now = self._last_changes(record, chunks)
        except TransientError:
            # While the ledger could not be read, no heartbeat could be seen: every lease begins again.
            registry.save_last_changes(record.run, {})
            raise
        expired = [chunk for chunk in chunks if changes[chunk.index].has_expired(now)]
        # A chunk that was requeued waits for its turn. With an empty queue its task was lost.
        stalled = [chunk for chunk in expired if is_queue_empty or not changes[chunk.index].queued]
        if stalled:
            self._fleet.queue(record, [(self._stalled_task(chunk), chunk) for chunk in stalled], urgent=True)
        for chunk in stalled:
            log.info("requeued chunk %d: %s", chunk.index + 1, _requeue_reason(chunk))
            changes[chunk.index] = LastChange(chunk.state, chunk.owner, chunk.heartbeat, now, queued=True)
        registry.save_last_changes(record.run, changes)
        return len(stalled)

    def _stalled_task(self, chunk: ChunkRecord) -> ChunkTask:
        """Make the task of a stalled chunk. It names the owner from whom the chunk may be claimed."""
        abandoned = (chunk.owner, chunk.heartbeat) if chunk.owner else None
        return ChunkTask(migration_task=self._task, chunk=chunk.index, abandoned=abandoned)

    def _last_changes(
        self, record: MigrationRecord, chunks: Sequence[ChunkRecord]
    ) -> tuple[dict[int, LastChange], float]:
        """The time of each chunk's last change, by its index, and the present time; both by Redis' clock."""
        before, now = self._fleet.registry.last_changes(record.run), self._fleet.registry.now()
        return {chunk.index: LastChange.of(chunk, before.get(chunk.index), now) for chunk in chunks}, now

    # The end

    def _finish(self, record: MigrationRecord) -> str:
        """Compare ids and counts and restore the target's settings, or record what failed."""
        if failed := self._ledger.chunks_in(record.migration, State.FAILED):
            return self._fail(record, _failures(sorted(failed, key=lambda chunk: chunk.index)))
        if record.job == JobKind.VERIFY:
            return self._finish_verification(record)
        with closing(open_source(record.definition, self._access.credentials, RETRY_FOR)) as source:
            target = CollectionReader(self._ledger.server, record.definition.target.collection)
            ids = self._compare_ids(record, source, target)
            if ids.chunk < record.chunks:
                return self._compare_on(record, ids)
            chunks = self._ledger.chunks(record.migration, range(record.chunks))
            changes = settings_changes(record, source, target)
            reconciliation = reconcile(record, chunks, ids, source, target, changes)
        if reconciliation.errors:
            return self._fail(
                record,
                f"{'; '.join(reconciliation.errors)}. `qmig verify --repair` copies what is missing, "
                "--restart-migration copies everything again; the target keeps its points",
                reconciliation=reconciliation,
            )
        if not self._is_current(record):
            return CHANGED_MEANWHILE
        self._restore_target_settings(record)
        return self._close(
            record,
            State.DONE,
            f"done: {judge(reconciliation, record.migration).headline}",
            final_settings=None,
            reconciliation=reconciliation,
        )

    def _compare_ids(self, record: MigrationRecord, source: Source, target: CollectionReader) -> IdComparison:
        """Compare ids for some seconds. If a call fails then, record how far the comparison has come."""
        info = existing_collection_info(target.server, target.collection)
        comparer = Comparer(
            record.comparison,
            record.definition,
            source,
            target,
            Router(record.definition.routing, is_custom(info)),
            lambda indexes: self._ledger.chunks(record.migration, indexes),
            lambda chunk: {reject.point for reject in rejects_of(self._ledger, record.migration, chunk.index)},
        )
        try:
            comparer.go_on(record.chunks, COMPARE_SECONDS)
        except TransientError:
            self._ledger.change_migration(record, comparison=comparer.comparison)
            raise
        return comparer.comparison

    def _compare_on(self, record: MigrationRecord, ids: IdComparison) -> str:
        """Record how far the comparison of ids has come, and have a worker go on with it."""
        if not self._ledger.change_migration(record, comparison=ids, waiting=None):
            return CHANGED_MEANWHILE
        self._fleet.enqueue_supervision(self._task)
        return f"compared {ids.ids_so_far:,} ids of the source with the target's"

    def _finish_verification(self, record: MigrationRecord) -> str:
        """Sum up the findings of a verification."""
        chunks = self._ledger.chunks(record.migration, range(record.chunks))
        findings = Findings()
        for chunk in chunks:
            findings.add(chunk.findings or Findings())
        compared = sum(chunk.read for chunk in chunks if chunk.range_of == RangeOf.SOURCE)
        result = f"done: {compared:,} points compared, {findings.text or 'all of them equal'}"
        return self._close(record, State.DONE, result, compared=compared, findings=findings)

    def _fail(self, record: MigrationRecord, error: str, **changes: Any) -> str:
        """Record that the migration has failed. If the ledger cannot be written, tell the registry."""
        try:
            return self._close(record, State.FAILED, f"failed: {error}", error=error, **changes)
        except TerminalError:
            self._fleet.registry.report_ledger_failure(record.run, error)
            raise

    def _close(self, record: MigrationRecord, state: State, result: str, **changes: Any) -> str:
        """Record the migration's last state, unless a command has changed the migration since it was read.

        A migration that was done before keeps the time when it was.
        """
        finished = None if state == State.FAILED else record.finished or time.time()
        last = {"finished": finished, "comparison": None, "waiting": None, "error": None, **changes}
        if not self._ledger.change_migration(record, state=state, **last):
            return CHANGED_MEANWHILE
        self._fleet.registry.forget(record.migration)
        return result

    def _cancel(self, record: MigrationRecord) -> str:
        """Restore the target's settings when no worker holds a chunk any more, as at the end of a migration."""
        running = self._ledger.chunks_in(record.migration, State.RUNNING)
        changes, now = self._last_changes(record, running)
        self._fleet.registry.save_last_changes(record.run, changes)
        if any(not changes[chunk.index].has_expired(now) for chunk in running):
            return CANCELLING
        if not self._is_current(record):
            return CHANGED_MEANWHILE
        self._restore_target_settings(record)
        return self._close(record, State.CANCELLED, "cancelled", final_settings=None)

    def _is_current(self, record: MigrationRecord) -> bool:
        """Whether the migration is in the state and the run that it was in when it was read."""
        current = self._ledger.migration(record.migration)
        return current is not None and (current.state, current.run) == (record.state, record.run)

    def _restore_target_settings(self, record: MigrationRecord) -> None:
        """Give a created target its final settings: the vector index on, and strict mode as in the source."""
        if record.final_settings is not None:
            request = api.UpdateCollection.FromString(base64.b64decode(record.final_settings))
            self._ledger.server.call(self._ledger.server.collections.Update, request)


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
