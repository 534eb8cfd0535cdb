"""Verify a migration: check both ends, plan as the migration was planned, and let the fleet compare."""

import logging
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from functools import cached_property
from typing import Any

from msgspec import structs

from qmig.broker.access import AccessGrant
from qmig.broker.fleet import Fleet
from qmig.broker.task import MigrationTask
from qmig.coordinator.follow import View
from qmig.coordinator.new_plan import begin_new_plan, begin_record, overtaken
from qmig.coordinator.plan import cut, plan_size
from qmig.coordinator.results import Result
from qmig.coordinator.run import Run, open_run
from qmig.errors import TerminalError, UsageError
from qmig.formatting import pluralize
from qmig.ledger.collection import PAGE
from qmig.ledger.findings import Checks
from qmig.ledger.ledger import Ledger
from qmig.ledger.records import ChunkRecord, JobKind, MigrationRecord, RangeOf, State
from qmig.migration import Credentials, Migration
from qmig.monitor.reader import ProgressReader
from qmig.qdrant import messages as api
from qmig.qdrant.collection import check_readable, collection_info
from qmig.qdrant.identity import check_same
from qmig.qdrant.lossy import uncompared_notices
from qmig.qdrant.reader import CollectionReader
from qmig.qdrant.server import Server
from qmig.rpc.connection import RETRY_FOR
from qmig.sources.registry import open_source

log = logging.getLogger(__name__)


class Verification:
    """Verifies a migration. Its state is in the ledger: killed, the same command resumes."""

    def __init__(
        self,
        ledger: Ledger,
        record: MigrationRecord,
        migration: Migration,
        checks: Checks,
        credentials: Credentials,
        view: View,
    ) -> None:
        """`migration` is the definition in `record`, with the endpoints by which this command reaches both ends."""
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
        """Check both ends and refuse a migration that cannot be verified; nothing is written."""
        record = self._record
        if record.job != JobKind.COPY:
            raise UsageError(f"{record.migration} is a verification itself; name the migration, {record.verifies}")
        if record.state not in (State.DONE, State.FAILED):
            raise UsageError(f"migration {record.migration} is {record.state}; verify it when it is done")
        if (
            not record.planned
            or self._ledger.has_unfinished(record)
            or self._ledger.chunks_in(record, State.FAILED, 1)
        ):
            raise UsageError(
                f"not all chunks of migration {record.migration} are done; finish it with the command that began it"
            )
        notices = uncompared_notices(self._target_info())
        with closing(open_source(self._migration, self._credentials, RETRY_FOR)) as source:
            source.describe()
            source.check_unchanged(self._migration.source.identity)
            # The settings of the source now, not those of the time when the migration began.
            settings = source.freeze_settings(None)
            notices += source.verification_notices()
        for notice in notices:
            self._view.say(notice)
        source_now = structs.replace(self._migration.source, settings=settings)
        self._migration = structs.replace(self._migration, source=source_now)

    def run(self, fleet: Fleet, interrupted: Callable[[], bool]) -> Result:
        """Verify, and follow the verification to its end.

        TerminalError with the failed chunks, Interrupted where it was interrupted.
        """
        run = Run(fleet, self._task, self._view, interrupted)
        record = self._begin(interrupted)
        run.register()
        return run.follow(ProgressReader(self._ledger, record.migration))

    def _target_info(self) -> api.CollectionInfo:
        """The target's settings; TerminalError where it does not exist or cannot be read whole."""
        target = self._migration.target
        info = collection_info(self._server, target.collection)
        if info is None:
            raise TerminalError(f"target {target.endpoint.url} has no collection {target.collection!r} any more")
        check_same(CollectionReader(self._server, target.collection), target.identity)
        check_readable(info, "target", target.collection)
        return info

    def _begin(self, interrupted: Callable[[], bool]) -> MigrationRecord:
        """Plan the verification unless it is resumed, open a new run, and return the record."""
        found = self._ledger.migration(self._migration.verification_id)
        record = found if found is not None and self._is_resumed(found) else self._plan(found, interrupted)
        return open_run(self._ledger, record, definition=self._migration)

    def _is_resumed(self, found: MigrationRecord) -> bool:
        """Whether the verification in the ledger is resumed. A finished one begins again, and so do other checks."""
        if found.state in (State.PREPARING, State.DONE, State.CANCELLED):
            return False
        if found.verified_planner != self._record.planner:
            # The migration was begun again since.
            return False
        if found.checks == self._checks:
            return True
        if found.state in (State.RUNNING, State.PAUSED):
            raise UsageError(
                f"a verification of this migration with other options is {found.state}; give the same options, or "
                f"end it with `qmig cancel {found.migration}`"
            )
        return False

    def _plan(self, found: MigrationRecord | None, interrupted: Callable[[], bool]) -> MigrationRecord:
        """Write a new record and its chunks to the ledger. Killed before the end, the plan is made again.

        TerminalError where another command begins the verification at the same moment.
        """
        ledger, verified = self._ledger, self._record
        record = MigrationRecord(
            migration=self._migration.verification_id,
            definition=self._migration,
            state=State.PREPARING,
            job=JobKind.VERIFY,
            verifies=verified.migration,
            chunk_size=verified.chunk_size,
            started=time.time(),
            checks=self._checks,
            run=uuid.uuid4().hex,
            verified_planner=verified.planner,
        )
        record = begin_record(ledger, found, record)
        record = begin_new_plan(ledger, record, self._view, interrupted)
        page: list[ChunkRecord] = []
        count = expected = 0
        for count, chunk in enumerate(self._cut(record.migration), 1):
            page.append(replace(chunk, index=count - 1, planner=record.planner))
            expected += chunk.expected
            if len(page) == PAGE:
                ledger.save_chunks(page)
                page.clear()
        ledger.save_chunks(page)
        planned: dict[str, Any] = {"chunks": count, "expected": expected, "planned": True}
        if not ledger.change_migration(record, **planned):
            raise overtaken(ledger, record.migration)
        self._view.say(f"verification {record.migration}: {pluralize(count, 'chunk')}")
        return replace(record, **planned)

    def _cut(self, migration: str) -> Iterator[ChunkRecord]:
        """The chunks of the migration, which expect the points that were copied; with `extra`, the target's too."""
        for first in range(0, self._record.chunks, PAGE):
            indexes = range(first, min(first + PAGE, self._record.chunks))
            for chunk in self._ledger.chunks(self._record.migration, indexes):
                expected = round(chunk.read * self._checks.share)
                yield ChunkRecord(migration, chunk.index, chunk.partition, chunk.start, chunk.end, expected=expected)
        if self._checks.extra:
            target = CollectionReader(self._server, self._migration.target.collection)
            for chunk in cut(target, plan_size(target, self._record.chunk_size), migration):
                yield replace(chunk, range_of=RangeOf.TARGET)

    @cached_property
    def _task(self) -> MigrationTask:
        """UsageError where there are credentials and no secret to seal them with."""
        access = AccessGrant.of(self._migration, self._credentials, JobKind.VERIFY)
        return MigrationTask(migration=access.migration, access=access.to_text())
