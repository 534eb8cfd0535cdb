"""Seeing to a migration until it ends: queue its chunks, take up those of dead workers, and close its books.

Any worker does this, one at a time for a migration, every few seconds and after each chunk that leaves the queue
empty. So a migration needs no coordinator once it is planned. All that counts is in the ledger; what is on the
noticeboard may be lost.
"""

import base64
import logging
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict
from typing import Any

from qmig.broker.access import AccessGrant
from qmig.broker.fleet import Fleet
from qmig.broker.task import ChunkTask, MigrationTask
from qmig.errors import TerminalError, TransientError
from qmig.formatting import pluralize
from qmig.jobs.reconciliation import reconcile
from qmig.ledger.collection import PAGE
from qmig.ledger.findings import Findings
from qmig.ledger.lease import LEASE_SECONDS
from qmig.ledger.ledger import Ledger
from qmig.ledger.records import ChunkRecord, JobKind, MigrationRecord, RangeOf, State
from qmig.ledger.rejects import rejects_of
from qmig.ledger.stalled import LastChange
from qmig.migration import Migration
from qmig.qdrant import messages as api
from qmig.qdrant.reader import CollectionReader
from qmig.rpc.connection import RETRY_FOR
from qmig.sources.registry import open_source

SHOWN_FAILURES = 5
# Said where a migration went another way while it was seen to.
STEERED = "nothing to do: the migration was paused, stopped, cancelled or begun again meanwhile"

log = logging.getLogger(__name__)


class Supervisor:
    """Sees to the migration of `task`, whose access is `access`."""

    def __init__(self, ledger: Ledger, fleet: Fleet, task: MigrationTask, access: AccessGrant) -> None:
        self._ledger = ledger
        self._fleet = fleet
        self._task = task
        self._access = access

    def run_once(self) -> str:
        """Do what there is to do now and say so; nothing while another worker is at it."""
        with self._fleet.registry.lock(self._task.migration) as alone:
            if not alone:
                return "another worker sees to it"
            # Somebody asks again soon: no worker is held up by a target that is away.
            record = self._ledger.migration(self._task.migration, RETRY_FOR)
            if record is None or record.state not in (State.RUNNING, State.PAUSED, State.CANCELLED):
                self._fleet.registry.forget(self._task.migration)
                return f"nothing to do: the migration is {'gone' if record is None else record.state}"
            self._access.check(record)
            if record.state == State.CANCELLED:
                return self._cancel(record)
            if record.state == State.PAUSED:
                return "paused"
            return self._go_on(record)

    def _go_on(self, record: MigrationRecord) -> str:
        if queued := self._queue_new(record):
            return f"queued {pluralize(queued, 'chunk')}"
        if requeued := self._requeue(record):
            return f"queued {pluralize(requeued, 'chunk')} again"
        left = self._ledger.unfinished(record.migration)
        if left or not record.planned:
            return f"{pluralize(left, 'chunk')} left"
        try:
            return self._end(record)
        except TransientError as error:
            self._ledger.update_migration(record.migration, waiting=str(error))
            raise
        except TerminalError as error:
            return self._fail(record, str(error))
        except Exception as error:
            # A defect ends the migration and is named there, rather than being met for ever.
            self._fail(record, f"unexpected {type(error).__name__}: {error}")
            raise

    def _queue_new(self, record: MigrationRecord) -> int:
        """Queue what the plan has more than was queued: all of it in a new run, or where the broker lost it."""
        board = self._fleet.registry
        first = board.queued_chunks(record.run)
        if first >= record.chunks:
            return 0
        chunks = self._ledger.chunks(record.migration, range(first, record.chunks))
        waiting = [chunk for chunk in chunks if not chunk.finished]
        self._queue(record, waiting)
        board.note_queued(record.run, record.chunks)
        return len(waiting)

    def _requeue(self, record: MigrationRecord) -> int:
        """Queue again what nobody is at: chunks whose owner is gone, and those that wait while no task does."""
        board = self._fleet.registry
        try:
            drained = self._fleet.queued() == 0
            chunks = self._ledger.chunks_in(record.migration, State.RUNNING)
            if drained:
                chunks += self._ledger.chunks_in(record.migration, State.PENDING, PAGE)
            last_changes, now = self._last_changes(record, chunks)
        except TransientError:
            # While the ledger could not be read nobody could be seen alive: every lease begins anew.
            board.save_last_changes(record.run, {})
            raise
        expired = [chunk for chunk in chunks if last_changes[chunk.index].has_expired(now)]
        # A task that is queued is waited for, whoever's turn it is; with nothing queued it was lost.
        abandoned = [chunk for chunk in expired if drained or not last_changes[chunk.index].queued]
        self._queue(record, abandoned, urgent=True)
        for chunk in abandoned:
            log.info("chunk %d is queued again: %s", chunk.index + 1, _why(chunk))
            last_changes[chunk.index] = LastChange(chunk.state, chunk.owner, chunk.heartbeat, now, queued=True)
        board.save_last_changes(record.run, last_changes)
        return len(abandoned)

    def _last_changes(
        self, record: MigrationRecord, chunks: Sequence[ChunkRecord]
    ) -> tuple[dict[int, LastChange], float]:
        """Since when each chunk has stood as it does, and the time by the same clock."""
        before, now = self._fleet.registry.last_changes(record.run), self._fleet.registry.now()
        return {chunk.index: LastChange.of(chunk, before.get(chunk.index), now) for chunk in chunks}, now

    def _queue(self, record: MigrationRecord, chunks: Sequence[ChunkRecord], urgent: bool = False) -> None:
        tasks = [
            (
                ChunkTask.of(
                    self._task, chunk.index, (chunk.owner, chunk.heartbeat) if urgent and chunk.owner else None
                ),
                chunk,
            )
            for chunk in chunks
        ]
        if tasks:
            self._fleet.queue(record, tasks, urgent)

    # The end

    def _end(self, record: MigrationRecord) -> str:
        """Check the books and put the target into its final state, or say what failed."""
        chunks = self._ledger.chunks(record.migration, range(record.chunks))
        if failed := [chunk for chunk in chunks if chunk.state == State.FAILED]:
            return self._fail(record, _failures(failed))
        if record.job == JobKind.VERIFY:
            return self._conclude(record, chunks)
        migration = Migration.from_json(record.definition)
        target = CollectionReader(self._ledger.server, migration.target.collection)
        with closing(open_source(migration, self._access.credentials, RETRY_FOR)) as source:
            books = reconcile(
                record,
                chunks,
                source,
                target,
                migration.routing,
                lambda chunk: {one.point for one in rejects_of(self._ledger, chunk.migration, chunk.index)},
            )
        if books.errors:
            return self._fail(
                record,
                f"{'; '.join(books.errors)}. `qmig verify --repair` brings over what is missing, --restart-migration "
                "copies all of it again; the target keeps what it has",
                reconciliation=asdict(books),
            )
        if not self._is_current(record):
            return STEERED
        self._put_back(record)
        done = f"done: {books.read - books.rejected:,} points are in the target"
        return self._close(
            record, State.DONE, done, final_settings=None, points=books.read, reconciliation=asdict(books)
        )

    def _conclude(self, record: MigrationRecord, chunks: Sequence[ChunkRecord]) -> str:
        """Add up what a verification found."""
        findings = Findings()
        for chunk in chunks:
            findings.add(Findings.from_dict(chunk.findings))
        compared = sum(chunk.read for chunk in chunks if chunk.range_of == RangeOf.SOURCE)
        done = f"done: {compared:,} points compared, {findings.text or 'all of them equal'}"
        return self._close(record, State.DONE, done, points=compared, findings=findings.to_dict())

    def _fail(self, record: MigrationRecord, error: str, **found: Any) -> str:
        try:
            return self._close(record, State.FAILED, f"failed: {error}", error=error, **found)
        except TerminalError:
            self._fleet.registry.report_ledger_failure(record.run, error)
            raise

    def _close(self, record: MigrationRecord, state: str, said: str, **changes: Any) -> str:
        """The migration's last word, unless it was paused, cancelled or begun again while its books were checked."""
        finished = None if state == State.FAILED else time.time()
        ending = {"finished": finished, "waiting": None, "error": None, **changes}
        if not self._ledger.change_migration(record, state=state, **ending):
            return STEERED
        self._fleet.registry.forget(record.migration)
        return said

    def _is_current(self, record: MigrationRecord) -> bool:
        """Whether nobody has steered the migration since."""
        now = self._ledger.migration(record.migration)
        return now is not None and (now.state, now.run) == (record.state, record.run)

    def _cancel(self, record: MigrationRecord) -> str:
        """Once nobody is at a chunk any more the target is left as a finished migration leaves it."""
        running = self._ledger.chunks_in(record.migration, State.RUNNING)
        last_changes, now = self._last_changes(record, running)
        self._fleet.registry.save_last_changes(record.run, last_changes)
        if any(not last_changes[chunk.index].has_expired(now) for chunk in running):
            return "cancelled: the batches in flight may end"
        if not self._is_current(record):
            return STEERED
        self._put_back(record)
        return self._close(record, State.CANCELLED, "cancelled", final_settings=None)

    def _put_back(self, record: MigrationRecord) -> None:
        """Put a created target into its final state: vector index on, strict mode as the source's."""
        if record.final_settings is not None:
            request = api.UpdateCollection.FromString(base64.b64decode(record.final_settings))
            self._ledger.server.call(self._ledger.server.collections.Update, request)


def _why(chunk: ChunkRecord) -> str:
    if not chunk.owner:
        return "nobody has begun it, and nothing is queued"
    host, process, *_ = chunk.owner.split("/")
    return f"worker {process} on {host} is gone or gave no sign of life for {LEASE_SECONDS:g} s"


def _failures(failed: list[ChunkRecord]) -> str:
    shown = "; ".join(f"chunk {chunk.index + 1}: {chunk.error}" for chunk in failed[:SHOWN_FAILURES])
    more = f"; and {len(failed) - SHOWN_FAILURES} more" if len(failed) > SHOWN_FAILURES else ""
    chunks = pluralize(len(failed), "chunk")
    return f"{chunks} failed, the others are done: {shown}{more}. The same command tries them again"
