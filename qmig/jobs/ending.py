"""End a migration: compare both ends, put the target's settings back, and record the last state."""

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from qmig.broker.access import AccessGrant
from qmig.broker.fleet import Fleet
from qmig.broker.task import MigrationTask
from qmig.errors import QmigError, TerminalError, TransientError
from qmig.formatting import pluralize, short_duration
from qmig.jobs.compare_ids import Comparer
from qmig.jobs.reconciliation import reconcile, settings_changes
from qmig.ledger.findings import Findings
from qmig.ledger.ledger import Ledger
from qmig.ledger.reconciliation import IdComparison
from qmig.ledger.records import ChunkRecord, JobKind, MigrationRecord, RangeOf, State
from qmig.ledger.rejects import rejects_of
from qmig.ledger.settle import put_back
from qmig.ledger.verdict import judge
from qmig.qdrant.collection import existing_collection_info, is_custom
from qmig.qdrant.identity import check_same
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


class Ending:
    """The end of the migration of one task."""

    def __init__(self, ledger: Ledger, fleet: Fleet, task: MigrationTask, access: AccessGrant) -> None:
        self._ledger = ledger
        self._fleet = fleet
        self._task = task
        self._access = access

    def finish(self, record: MigrationRecord) -> str:
        """Compare ids and counts and restore the target's settings, or record what failed."""
        if failed := self._ledger.chunks_in(record, State.FAILED):
            if any(chunk.run != record.run for chunk in failed):
                self._ledger.reopen(record)
                return "reopened chunks that failed in an earlier run"
            return self.fail(record, _failures(sorted(failed, key=lambda chunk: chunk.index)))
        if record.job == JobKind.VERIFY:
            return self._finish_verification(record)
        with self._recognised_source(record) as source:
            target = CollectionReader(self._ledger.server, record.definition.target.collection)
            ids = self._compare_ids(record, source, target)
            if ids.chunk < record.chunks:
                return self._compare_on(record, ids)
            chunks = self._ledger.chunks(record.migration, range(record.chunks))
            changes = settings_changes(record, source, target)
            reconciliation = reconcile(record, chunks, ids, source, target, changes)
        if reconciliation.errors:
            return self.fail(
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
            f"done: {judge(reconciliation, record.migration).headline}",
            final_settings=None,
            reconciliation=reconciliation,
        )

    def wait(self, record: MigrationRecord, error: QmigError, seconds: float) -> str:
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
        return self._close(record, State.STOPPED, f"stopped: {reason}", finished=record.finished, error=reason)

    def fail(self, record: MigrationRecord, error: str, **changes: Any) -> str:
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

    def forget(self) -> None:
        """End the supervision of the migration, unless a command has begun a run of it meanwhile."""
        registry = self._fleet.registry
        registry.forget(self._task)
        # A command changes the record first and registers the migration then: either sees the other.
        record = self._ledger.migration(self._task.migration)
        is_begun = record is not None and record.state in (State.RUNNING, State.PAUSED)
        if is_begun and registry.register_again(self._task):
            self._fleet.enqueue_supervision(self._task)

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
        if not self._ledger.change_migration(record, comparison=ids, waiting=None, waiting_seconds=0.0):
            return CHANGED_MEANWHILE
        self._fleet.enqueue_supervision(self._task)
        return f"compared {ids.ids_so_far:,} ids of the source with the target's"

    @contextmanager
    def _recognised_source(self, record: MigrationRecord) -> Iterator[Source]:
        """The source. TerminalError unless both ends are the collections that the migration was begun with."""
        source, target = record.definition.source, record.definition.target
        with closing(open_source(record.definition, self._access.credentials, RETRY_FOR)) as opened:
            opened.check_unchanged(source.identity)
            check_same(CollectionReader(self._ledger.server, target.collection), target.identity)
            yield opened

    def _finish_verification(self, record: MigrationRecord) -> str:
        """Sum up the findings of a verification, if both ends are still the collections that were compared."""
        with self._recognised_source(record):
            chunks = self._ledger.chunks(record.migration, range(record.chunks))
        findings = Findings()
        for chunk in chunks:
            findings.add(chunk.findings or Findings())
        compared = sum(chunk.read for chunk in chunks if chunk.range_of == RangeOf.SOURCE)
        result = f"done: {compared:,} points compared, {findings.text or 'all of them equal'}"
        return self._close(record, State.DONE, result, compared=compared, findings=findings)

    def _put_back_after_failure(self, record: MigrationRecord) -> str | None:
        """Put the target's settings back; why that failed, or None."""
        try:
            put_back(self._ledger, record)
        except QmigError as error:
            return f"the target's settings could not be put back either: {error}; `qmig cancel` does so"
        return None

    def _close(self, record: MigrationRecord, state: State, result: str, **changes: Any) -> str:
        """Record the migration's last state, unless a command has changed the migration since it was read.

        A migration that was done before keeps the time when it was.
        """
        finished = None if state == State.FAILED else record.finished or time.time()
        last = {"finished": finished, "comparison": None, "waiting": None, "waiting_seconds": 0.0, "error": None}
        last |= changes
        if not self._ledger.change_migration(record, state=state, **last):
            return CHANGED_MEANWHILE
        self.forget()
        return result


def _failures(failed: list[ChunkRecord]) -> str:
    """The error of a migration with failed chunks."""
    shown = "; ".join(f"chunk {chunk.index + 1}: {chunk.error}" for chunk in failed[:MAX_FAILURES])
    more = f"; and {len(failed) - MAX_FAILURES} more" if len(failed) > MAX_FAILURES else ""
    chunks = pluralize(len(failed), "chunk")
    return f"{chunks} failed, the others are done: {shown}{more}. The same command retries them"
