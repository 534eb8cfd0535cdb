"""What begins a verification: look at both ends, plan it as the migration was planned, and let the fleet compare."""

import logging
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from functools import cached_property

from qmig.broker.access import AccessGrant
from qmig.broker.fleet import Fleet
from qmig.broker.task import MigrationTask
from qmig.coordinator.follow import Follower, View
from qmig.coordinator.plan import cut, plan_size
from qmig.coordinator.results import Verdict
from qmig.errors import TerminalError, UsageError
from qmig.formatting import pluralize
from qmig.ledger.collection import PAGE
from qmig.ledger.findings import Checks, Findings
from qmig.ledger.ledger import Ledger
from qmig.ledger.records import ChunkRecord, JobKind, MigrationRecord, RangeOf, State
from qmig.migration import Credentials, Migration
from qmig.monitor.reader import ProgressReader
from qmig.qdrant.collection import check_readable, collection_info
from qmig.qdrant.reader import CollectionReader
from qmig.qdrant.server import Server
from qmig.rpc.connection import RETRY_FOR
from qmig.sources.registry import open_source

log = logging.getLogger(__name__)


class Verification:
    """Verifies a migration. Whatever it knows is in the ledger: killed, the same command goes on."""

    def __init__(
        self,
        ledger: Ledger,
        record: MigrationRecord,
        migration: Migration,
        checks: Checks,
        credentials: Credentials,
        view: View,
    ) -> None:
        """`migration` is the one of `record`, with its ends as they are reached now."""
        self._ledger = ledger
        self._record = record
        self._checks = checks
        self._credentials = credentials
        self._view = view
        self._migration = migration

    @property
    def _server(self) -> Server:
        return self._ledger.server

    def preflight(self) -> None:
        """Look at both ends and refuse what cannot be verified; nothing is written."""
        record = self._record
        if record.job != JobKind.COPY:
            raise UsageError(f"{record.migration} is a verification itself; name the migration, {record.verifies}")
        if record.state not in (State.DONE, State.FAILED):
            raise UsageError(f"migration {record.migration} is {record.state}; verify it when it is done")
        if not record.planned or self._ledger.unfinished(record.migration) or self._failed(record.migration):
            raise UsageError(
                f"not all chunks of migration {record.migration} are done; finish it with the command that began it"
            )
        self._check_target()
        with closing(open_source(self._migration, self._credentials, RETRY_FOR)) as source:
            source.describe()
            # As the source is now, not as it was when the migration began.
            settings = source.freeze_settings(None)
        self._migration = replace(self._migration, source=replace(self._migration.source, settings=settings))

    def run(self, fleet: Fleet, interrupted: Callable[[], bool]) -> Verdict:
        """Verify and follow it to its end. TerminalError with the list where chunks failed."""
        began, task = time.monotonic(), self._task
        for other in fleet.check_workers():
            self._view.warn(other)
        record = self._begin()
        fleet.register(task)
        watch = ProgressReader(self._ledger, record.migration)
        before = watch.refresh().points
        follower = Follower(watch, fleet, self._view)

        def between(seconds: float) -> None:
            if interrupted():
                follower.stop(self._ledger)
            fleet.ensure_registered(task)
            time.sleep(seconds)

        progress = follower.follow(between)
        findings = Findings.from_dict(watch.record.findings)
        return Verdict(watch.record, findings, progress.points - before, time.monotonic() - began)

    def _check_target(self) -> None:
        target = self._migration.target
        info = collection_info(self._server, target.collection)
        if info is None:
            raise TerminalError(f"target {target.endpoint.url} has no collection {target.collection!r} any more")
        check_readable(info, "target", target.collection)

    def _begin(self) -> MigrationRecord:
        """The record of this verification, planned, and a new run opened."""
        seen = self._ledger.migration(self._migration.verification_id)
        record = seen if seen is not None and self._goes_on(seen) else self._planned()
        self._ledger.reopen(self._failed(record.migration))
        changes = {"state": State.RUNNING, "run": uuid.uuid4().hex, "finished": None, "waiting": None, "error": None}
        definition = self._migration.to_json()
        self._ledger.update_migration(record.migration, definition=definition, **changes)
        return record

    def _goes_on(self, seen: MigrationRecord) -> bool:
        """Whether a verification that is in the ledger is gone on with; a finished one begins again."""
        if seen.state in (State.PREPARING, State.DONE, State.CANCELLED) or seen.started < self._record.started:
            return False
        if seen.checks == self._checks.to_dict():
            return True
        if seen.state in (State.RUNNING, State.PAUSED):
            raise UsageError(
                f"a verification of this migration with other options is {seen.state}; give the same, or end it with "
                f"`qmig cancel {seen.migration}`"
            )
        return False

    def _planned(self) -> MigrationRecord:
        """A new record, and chunks that cover the key space; killed before its end, it is done again."""
        ledger, of = self._ledger, self._record
        record = MigrationRecord(
            migration=self._migration.verification_id,
            title=f"verify {of.title}",
            definition=self._migration.to_json(),
            state=State.PREPARING,
            job=JobKind.VERIFY,
            verifies=of.migration,
            chunk_size=of.chunk_size,
            started=time.time(),
            checks=self._checks.to_dict(),
        )
        ledger.save_migration(record)
        ledger.forget_chunks(record.migration)
        page: list[ChunkRecord] = []
        count = expected = 0
        for count, chunk in enumerate(self._cut(record.migration), 1):
            page.append(replace(chunk, index=count - 1))
            expected += chunk.expected
            if len(page) == PAGE:
                ledger.save_chunks(page)
                page.clear()
        ledger.save_chunks(page)
        ledger.update_migration(record.migration, chunks=count, expected=expected, planned=True)
        self._view.say(f"verification {record.migration}: {pluralize(count, 'chunk')}")
        return replace(record, chunks=count, expected=expected, planned=True)

    def _cut(self, migration: str) -> Iterator[ChunkRecord]:
        """The migration's chunks, each aiming at what was copied, and with `extra` further ones over the target."""
        for first in range(0, self._record.chunks, PAGE):
            indexes = range(first, min(first + PAGE, self._record.chunks))
            for chunk in self._ledger.chunks(self._record.migration, indexes):
                aim = round(chunk.read * self._checks.share)
                yield ChunkRecord(migration, chunk.index, chunk.partition, chunk.start, chunk.end, expected=aim)
        if self._checks.extra:
            target = CollectionReader(self._server, self._migration.target.collection)
            for chunk in cut(target, plan_size(target, self._record.chunk_size), migration):
                yield replace(chunk, range_of=RangeOf.TARGET)

    def _failed(self, migration: str) -> list[ChunkRecord]:
        return self._ledger.chunks_in(migration, State.FAILED)

    @cached_property
    def _task(self) -> MigrationTask:
        """UsageError where there are credentials and no secret to seal them with."""
        access = AccessGrant.of(self._migration, self._credentials, JobKind.VERIFY)
        return MigrationTask(migration=access.migration, access=access.to_text())
