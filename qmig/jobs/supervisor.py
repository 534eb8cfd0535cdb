"""Drive a migration to its end: queue chunks, requeue stalled ones, compare ids, restore the target's settings.

Any worker does this, one at a time for a migration, every few seconds and after each chunk that leaves the queue
empty. So a migration needs no coordinator once it is planned. All durable state is in the ledger; the registry on
Redis may be lost.
"""

import logging
import time
from collections.abc import Sequence

from qmig.broker.access import AccessGrant
from qmig.broker.fleet import Fleet
from qmig.broker.task import ChunkTask, MigrationTask
from qmig.errors import QmigError, TerminalError, TransientError, WorkerError
from qmig.formatting import pluralize
from qmig.jobs.ending import Ending
from qmig.ledger.cancel import close_cancelled
from qmig.ledger.collection import PAGE
from qmig.ledger.lease import LEASE_SECONDS
from qmig.ledger.ledger import Ledger
from qmig.ledger.owner import Owner
from qmig.ledger.records import ChunkRecord, MigrationRecord, State
from qmig.ledger.settle import put_back_without_ledger
from qmig.ledger.stalled import LastChange
from qmig.rpc.connection import RETRY_FOR

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
        self._ending = Ending(ledger, fleet, task, access)

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
                self._ending.forget()
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
        self._ending.forget()
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
            return self._ending.fail(record, str(error))
        except Exception as error:
            # A defect ends the migration and is named there. Otherwise every supervision would fail with it.
            self._ending.fail(record, f"unexpected {type(error).__name__}: {error}")
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
            return self._ending.finish(record)
        except (TransientError, WorkerError) as error:
            return self._ending.wait(record, error, time.monotonic() - began)

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

    def _cancel(self, record: MigrationRecord) -> str:
        """Put the target's settings back when no worker holds a chunk any more, as `qmig cancel` itself does."""
        if record.finished is None:
            running = self._ledger.held(record.migration)
            changes, now = self._last_changes(record, running)
            self._fleet.registry.save_last_changes(record.run, changes)
            if any(not changes[chunk.index].has_expired(now) for chunk in running):
                return CANCELLING
            close_cancelled(self._ledger, record)
        self._ending.forget()
        return "cancelled"


def _requeue_reason(chunk: ChunkRecord) -> str:
    if not chunk.owner:
        return "it has no owner, and nothing is queued"
    owner = Owner.parse(chunk.owner)
    return f"worker {owner.pid} on {owner.host} has died, or has sent no heartbeat for {LEASE_SECONDS:g} s"
