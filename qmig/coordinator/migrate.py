"""Migrate: check both ends, prepare the target, plan, and let the fleet copy the chunks."""

import json
import logging
import time
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from functools import cached_property, partial
from typing import Any

from msgspec import structs

from qmig.broker.access import AccessGrant
from qmig.broker.fleet import Fleet
from qmig.broker.task import MigrationTask
from qmig.coordinator.follow import MIN_FOLLOW_INTERVAL, View
from qmig.coordinator.lost_ledger import explaining_a_lost_ledger
from qmig.coordinator.new_plan import begin_new_plan, begin_record, overtaken
from qmig.coordinator.patience import Patience
from qmig.coordinator.planner import Planner
from qmig.coordinator.preflight import Preflight, PreflightResult, RunOptions
from qmig.coordinator.resolve import resolve_source, resolve_target
from qmig.coordinator.results import Result
from qmig.coordinator.retry_rejects import retry_rejects
from qmig.coordinator.run import Run, open_run
from qmig.coordinator.target import TargetLoad
from qmig.errors import ChunkLostError, TerminalError, TransientError
from qmig.formatting import pluralize
from qmig.ledger.find import existing_migration
from qmig.ledger.ledger import Ledger
from qmig.ledger.records import MigrationRecord, State
from qmig.ledger.settle import put_back
from qmig.migration import Credentials, Migration
from qmig.monitor.reader import ProgressReader
from qmig.qdrant.collection import existing_collection_info
from qmig.qdrant.create import after_creation_request
from qmig.qdrant.described import described_settings
from qmig.qdrant.identity import settings_of
from qmig.qdrant.payload_indexes import create_index
from qmig.qdrant.reader import CollectionReader
from qmig.qdrant.routing import Router
from qmig.qdrant.server import Server
from qmig.qdrant.shard_keys import ShardKeyPlacement, create_shard_key, placement_notices
from qmig.qdrant.shard_keys import shard_keys as target_shard_keys
from qmig.qdrant.writer import Writer
from qmig.sources.base import Source

log = logging.getLogger(__name__)


class Coordinator:
    """Runs one migration. Its state is in the ledger: killed, the same command resumes."""

    def __init__(self, migration: Migration, credentials: Credentials, run_options: RunOptions, view: View) -> None:
        self.migration = migration
        self.credentials = credentials
        self.run_options = run_options
        self.view = view
        self._planning_since: float | None = None
        self._patience = Patience(view.warn)
        self._stack = ExitStack()

    def __enter__(self) -> "Coordinator":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def preflight(self) -> PreflightResult:
        """Check both ends and refuse a migration that cannot be done; nothing is written."""
        self.migration, source = resolve_source(self.migration, self.credentials)
        self._stack.callback(source.close)
        skip = self.migration.options.skip_tls_verification
        target = self._stack.enter_context(
            Server(self.migration.target.endpoint, "target", self.credentials.target_api_key, skip)
        )
        self.migration = resolve_target(self.migration, source, target)
        preflight = Preflight(self.migration, self.run_options, source, target).check()
        before = None if self.run_options.restart or preflight.record is None else preflight.record.definition
        recorded = None if before is None else before.source.settings
        frozen = structs.replace(self.migration.source, settings=source.freeze_settings(recorded))
        self.migration = structs.replace(self.migration, source=frozen)
        self._keep_identities(source, None if before is None or preflight.begins else before)
        preflight.notices += source.notices()
        return preflight

    def _keep_identities(self, source: Source, before: Migration | None) -> None:
        """Take over what identifies both collections from the migration's record, or ask the source."""
        mine, theirs = self.migration.source, self.migration.target
        if before is not None:
            theirs = structs.replace(theirs, identity=before.target.identity)
        kept = {} if before is None else before.source.identity
        mine = structs.replace(mine, identity=kept or source.identity())
        self.migration = structs.replace(self.migration, source=mine, target=theirs)

    def run(self, fleet: Fleet, preflight: PreflightResult, interrupted: Callable[[], bool]) -> Result:
        """Migrate, and follow the migration to its end.

        TerminalError with the failed chunks or the missing points, Interrupted where it was interrupted.
        """
        run = Run(fleet, self._task, self.view, interrupted)
        planner, reader = self._begin(run, preflight)

        def plan_or_wait(seconds: float) -> None:
            if planner.planned:
                time.sleep(seconds)
            else:
                self._plan_or_stop(planner, run, seconds)

        with explaining_a_lost_ledger(preflight.ledger, self.migration.id):
            return run.follow(reader, plan_or_wait)

    def detach(self, fleet: Fleet, preflight: PreflightResult, interrupted: Callable[[], bool]) -> None:
        """Begin the migration, plan it to the end, and leave the rest to the fleet."""
        run = Run(fleet, self._task, self.view, interrupted)
        planner, reader = self._begin(run, preflight)
        with explaining_a_lost_ledger(preflight.ledger, self.migration.id):
            while not planner.planned:
                run.stop_if_interrupted(reader)
                self._plan_or_stop(planner, run, MIN_FOLLOW_INTERVAL)

    def _begin(self, run: Run, preflight: PreflightResult) -> tuple[Planner, ProgressReader]:
        """Prepare the target, open a new run in the ledger, and register it with the fleet."""
        self._retry_rejects(preflight, run.interrupted)
        ledger, record = preflight.ledger, self._prepare(preflight, run.interrupted)
        if record.state == State.DONE:
            self.view.say(
                "this migration is already done: only the ids of both ends are compared again; --restart-migration "
                "copies everything again"
            )
        else:
            # Before the run: a supervisor that ends the migration after this puts the settings back.
            record = self._target_load(preflight, record).begin()
        max_rate = self.run_options.max_rate or record.max_rate
        self._identify_target(ledger.server)
        try:
            record = open_run(ledger, record, definition=self.migration, max_rate=max_rate)
        except TerminalError:
            raise self._overtaken(ledger, record) from None
        log.info("migration %s, run %s: %d chunks", record.migration, record.run, record.chunks)
        run.register()
        return Planner(ledger, preflight.source, record), ProgressReader(ledger, record.migration, record)

    def _retry_rejects(self, preflight: PreflightResult, interrupted: Callable[[], bool]) -> None:
        if self.run_options.retry_rejects and preflight.record is not None:
            router = Router(self.migration.routing, preflight.custom_target)
            writer = Writer(preflight.target, self.migration.target.collection, router)
            tried, left = retry_rejects(preflight.ledger, preflight.record, preflight.source, writer, interrupted)
            self.view.say(f"tried {pluralize(tried, 'reject')} again: {left:,} left")

    def _prepare(self, preflight: PreflightResult, interrupted: Callable[[], bool]) -> MigrationRecord:
        """Write the record of the migration, and prepare the target. Killed at any point, both are done again."""
        ledger, record = preflight.ledger, preflight.record
        ledger.create(preflight.replicas)
        if record is None or self.run_options.restart:
            record = begin_record(ledger, record, self._new_record(preflight, record))
        elif not record.is_prepared:
            record = self._change(ledger, record, state=State.PREPARING, run=uuid.uuid4().hex, finished=None)
        else:
            return record
        return self._prepare_target(preflight, begin_new_plan(ledger, record, self.view, interrupted))

    def _change(self, ledger: Ledger, record: MigrationRecord, **changes: Any) -> MigrationRecord:
        """Change a migration that is being prepared.

        TerminalError where another command has begun it since: each command has its own run.
        """
        if not ledger.change_migration(record, **changes):
            raise self._overtaken(ledger, record)
        return replace(record, **changes)

    def _overtaken(self, ledger: Ledger, record: MigrationRecord) -> TerminalError:
        """The error of a command that finds the migration changed by another one."""
        if existing_migration(ledger, record.migration).state == State.CANCELLED:
            # The target may have been prepared after `qmig cancel` had put its settings back.
            put_back(ledger, record)
        return overtaken(ledger, record.migration)

    def _new_record(self, preflight: PreflightResult, kept: MigrationRecord | None) -> MigrationRecord:
        """Make the first record; `kept` is the record of a migration that begins again."""
        before: dict[str, int] = {}
        if preflight.target_info is not None:
            target = CollectionReader(preflight.target, self.migration.target.collection)
            before = {partition or "": target.count(partition, exact=True) for partition in target.partitions()}
        # The target still needs the final settings of the unfinished migration.
        owed = kept if kept is not None and kept.state != State.DONE and preflight.target_info is not None else None
        return MigrationRecord(
            migration=self.migration.id,
            definition=self.migration,
            state=State.PREPARING,
            run=uuid.uuid4().hex,
            created_target=preflight.target_info is None
            or preflight.is_lost
            or (owed is not None and owed.created_target),
            before=before,
            final_settings=owed.final_settings if owed is not None else None,
            source_settings=described_settings(preflight.source_info, preflight.shard_keys),
            started=time.time(),
        )

    def _prepare_target(self, preflight: PreflightResult, record: MigrationRecord) -> MigrationRecord:
        """Create the target, its shard keys and payload indexes."""
        server, name = preflight.target, self.migration.target.collection
        if preflight.target_info is None:
            # Recorded first: whichever command resumes must bring a created target into its final state.
            record = self._change(preflight.ledger, record, created_target=True)
            record = self._create_target(preflight, record)
        if record.created_target:
            later = after_creation_request(preflight.source_info, name)
            if later is not None:
                server.call(server.collections.Update, later)
        if preflight.custom_target:
            self._create_shard_keys(preflight)
        for field_name, info in preflight.missing_indexes.items():
            create_index(server, name, field_name, info)
        return record

    def _create_target(self, preflight: PreflightResult, record: MigrationRecord) -> MigrationRecord:
        title = f"collection {self.migration.target.collection!r} at {preflight.target.endpoint.url}"
        if self._target_load(preflight, record).create():
            self.view.say(f"created {title}")
            return record
        self.view.say(f"another migration has just created {title}: both load it")
        return self._change(preflight.ledger, record, created_target=False)

    def _target_load(self, preflight: PreflightResult, record: MigrationRecord) -> TargetLoad:
        return TargetLoad(preflight, record, partial(self._change, preflight.ledger))

    def _create_shard_keys(self, preflight: PreflightResult) -> None:
        server, name, routing = preflight.target, self.migration.target.collection, self.migration.routing
        wanted = preflight.shard_keys
        if routing.shard_key is not None:
            wanted = [ShardKeyPlacement(json.loads(routing.shard_key))]
        elif routing.shard_key_field is not None:
            # Workers create these when they read the first point of each.
            return
        existing = {placement.key for placement in target_shard_keys(server, name)}
        for placement in wanted:
            if placement.key not in existing:
                create_shard_key(server, name, placement)
        for notice in placement_notices(server, name, wanted):
            self.view.say(notice)

    def _plan_or_stop(self, planner: Planner, run: Run, seconds: float) -> None:
        """Plan for `seconds`. Stop the migration where it cannot be planned; what is planned is kept."""
        try:
            self._plan(planner, run, seconds)
        except TerminalError as error:
            planner.stop(str(error))
            raise

    def _identify_target(self, server: Server) -> None:
        """Record what identifies the target collection, once it exists."""
        target = self.migration.target
        if not target.identity:
            info = existing_collection_info(server, target.collection)
            target = structs.replace(target, identity=settings_of(info))
            self.migration = structs.replace(self.migration, target=target)

    def _plan(self, planner: Planner, run: Run, seconds: float) -> None:
        """Plan for `seconds`, and have the supervisor queue the new chunks."""
        try:
            if self._planning_since is None:
                if not planner.claim():
                    # Another coordinator is planning.
                    time.sleep(seconds)
                    return
                if planner.planned:
                    return
                self._planning_since = time.monotonic()
                planner.begin(self.run_options.chunk_size)
            before = planner.chunks
            planner.go_on(seconds)
            if planner.chunks > before:
                run.enqueue_supervision()
        except ChunkLostError as error:
            self.view.warn(f"planning: {error}; retrying")
            self._planning_since = None
            return
        except TransientError as error:
            self._planning_since = None
            self._patience.wait(f"planning: {error}", self.migration.options.retry_for)
            time.sleep(seconds)
            return
        self._patience.end()
        if planner.planned:
            self.view.say(
                f"planned {pluralize(planner.chunks, 'chunk')} in {time.monotonic() - self._planning_since:.1f} s"
            )

    @cached_property
    def _task(self) -> MigrationTask:
        """UsageError where there are credentials and no secret to seal them with: then nothing is begun."""
        return MigrationTask(
            migration=self.migration.id, access=AccessGrant.of(self.migration, self.credentials).to_text()
        )
