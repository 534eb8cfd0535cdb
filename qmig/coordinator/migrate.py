"""What begins a migration: check both ends, prepare the target, plan, and let the fleet see to the rest."""

import base64
import logging
import time
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from functools import cached_property
from typing import Any

from qmig.broker.access import AccessGrant
from qmig.broker.fleet import Fleet
from qmig.broker.task import MigrationTask
from qmig.coordinator.follow import LOOK_EVERY, Follower, View
from qmig.coordinator.planner import Planner
from qmig.coordinator.preflight import Preflight, PreflightResult, RunOptions
from qmig.coordinator.results import Summary
from qmig.coordinator.retry_rejects import retry_rejects
from qmig.errors import ChunkLostError, TerminalError, TransientError
from qmig.formatting import pluralize
from qmig.ledger.ledger import Ledger
from qmig.ledger.records import MigrationRecord, State
from qmig.migration import Credentials, Migration
from qmig.monitor.reader import ProgressReader
from qmig.qdrant.collection import collection_info
from qmig.qdrant.create import after_creation_request, create_request, finish_request, loading_request
from qmig.qdrant.payload_indexes import create_index
from qmig.qdrant.reader import CollectionReader
from qmig.qdrant.routing import Router
from qmig.qdrant.schema_diff import differences as target_differences
from qmig.qdrant.server import Server
from qmig.qdrant.shard_keys import ShardKeyPlacement, create_shard_key, placement_notices
from qmig.qdrant.shard_keys import shard_keys as target_shard_keys
from qmig.qdrant.writer import Writer
from qmig.rpc.connection import RETRY_FOR
from qmig.sources.registry import open_source

log = logging.getLogger(__name__)


class Coordinator:
    """Runs one migration. Whatever it knows is in the ledger: killed, the same command goes on."""

    def __init__(self, migration: Migration, credentials: Credentials, run_options: RunOptions, view: View) -> None:
        self.migration = migration
        self.credentials = credentials
        self.run_options = run_options
        self.view = view
        self._planning_since: float | None = None
        self._stack = ExitStack()

    def __enter__(self) -> "Coordinator":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def preflight(self) -> PreflightResult:
        """Look at both ends and refuse what cannot be done; nothing is written."""
        source = open_source(self.migration, self.credentials, RETRY_FOR)
        self._stack.callback(source.close)
        skip = self.migration.options.skip_tls_verification
        target = self._stack.enter_context(
            Server(self.migration.target.endpoint, "target", self.credentials.target_api_key, skip)
        )
        survey = Preflight(self.migration, self.run_options, source, target).check()
        before = None if self.run_options.restart or survey.record is None else survey.record.definition
        recorded = None if before is None else Migration.from_json(before).source.settings
        settled = replace(self.migration.source, settings=source.freeze_settings(recorded))
        self.migration = replace(self.migration, source=settled)
        survey.notices += source.notices()
        return survey

    def run(self, fleet: Fleet, survey: PreflightResult, interrupted: Callable[[], bool]) -> Summary:
        """Migrate and follow it to its end. TerminalError with the list where chunks failed or points are missing."""
        began = time.monotonic()
        self._retry_rejects(survey, interrupted)
        planner, watch = self._begin(fleet, survey)
        points_before = watch.refresh().points
        follower = Follower(watch, fleet, self.view)

        def between(seconds: float) -> None:
            if interrupted():
                follower.stop(survey.ledger)
            fleet.ensure_registered(self._task)
            if planner.planned:
                time.sleep(seconds)
            else:
                self._cut(planner, fleet, seconds)

        progress = follower.follow(between)
        return Summary(
            watch.record, progress, watch.reconciliation, progress.points - points_before, time.monotonic() - began
        )

    def detach(self, fleet: Fleet, survey: PreflightResult, interrupted: Callable[[], bool]) -> None:
        """Begin the migration, see the plan to its end, and leave the rest to the fleet."""
        self._retry_rejects(survey, interrupted)
        planner, watch = self._begin(fleet, survey)
        while not planner.planned:
            if interrupted():
                Follower(watch, fleet, self.view).stop(survey.ledger)
            self._cut(planner, fleet, LOOK_EVERY)

    def _begin(self, fleet: Fleet, survey: PreflightResult) -> tuple[Planner, ProgressReader]:
        """Prepare the target, open a new run, and let the fleet see to it from now on."""
        # Without a secret the task could not carry the keys: nothing is begun then.
        task = self._task
        for other in fleet.check_workers():
            self.view.warn(other)
        ledger = survey.ledger
        record = self._prepare(survey)
        if record.state == State.DONE:
            self.view.say(
                "this migration is done already: its books are checked once more; --restart-migration copies again"
            )
        ledger.reopen(ledger.chunks_in(record.migration, State.FAILED))
        record = self._open_run(ledger, record)
        log.info("migration %s, run %s: %d chunks", record.migration, record.run, record.chunks)
        fleet.register(task)
        return Planner(ledger, survey.source, record), ProgressReader(ledger, record.migration)

    def _retry_rejects(self, survey: PreflightResult, interrupted: Callable[[], bool]) -> None:
        if self.run_options.retry_rejects and survey.record is not None:
            router = Router(self.migration.routing, survey.custom_target)
            writer = Writer(survey.target, self.migration.target.collection, router)
            tried, left = retry_rejects(survey.ledger, survey.record, survey.source, writer, interrupted)
            self.view.say(f"tried {pluralize(tried, 'reject')} again: {left:,} left")

    # Writing

    def _prepare(self, survey: PreflightResult) -> MigrationRecord:
        """The record, and the target as it is to be. Killed at any point, it is done again."""
        ledger, record = survey.ledger, survey.record
        ledger.create()
        if record is None or self.run_options.restart:
            if record is None and ledger.migration(self.migration.id) is not None:
                raise self._begun_elsewhere
            record = self._new_record(survey, record)
            ledger.save_migration(record)
        elif record.state == State.PREPARING:
            self._change(ledger, record, run=uuid.uuid4().hex)
            record = ledger.migration(record.migration) or record
        else:
            return record
        # Nothing is planned under this record yet: what is there is of the plan before.
        ledger.forget_chunks(record.migration)
        return self._prepare_target(survey, record)

    def _change(self, ledger: Ledger, record: MigrationRecord, **changes: Any) -> MigrationRecord:
        """Change a migration that is being prepared. Each command does so under a run of its own, so that of two at
        once the first is told of the second before it has planned anything."""
        if not ledger.change_migration(record, **changes):
            raise self._begun_elsewhere
        return replace(record, **changes)

    @property
    def _begun_elsewhere(self) -> TerminalError:
        return TerminalError(
            f"another command began migration {self.migration.id} this moment; the same command joins it, "
            "given again when it is planned"
        )

    def _new_record(self, survey: PreflightResult, kept: MigrationRecord | None) -> MigrationRecord:
        """`kept` is the record of a migration that begins again: what it owes the target is still owed."""
        before: dict[str, int] = {}
        if survey.target_info is not None:
            target = CollectionReader(survey.target, self.migration.target.collection)
            before = {partition or "": target.count(partition, exact=True) for partition in target.partitions()}
        owed = kept if kept is not None and kept.state != State.DONE and survey.target_info is not None else None
        return MigrationRecord(
            migration=self.migration.id,
            title=self.migration.title,
            definition=self.migration.to_json(),
            state=State.PREPARING,
            run=uuid.uuid4().hex,
            created_target=survey.target_info is None or (owed is not None and owed.created_target),
            before=before,
            final_settings=owed.final_settings if owed is not None else None,
            started=time.time(),
        )

    def _prepare_target(self, survey: PreflightResult, record: MigrationRecord) -> MigrationRecord:
        """Create the target, its shard keys and payload indexes; one that was created loads without an index."""
        server, name = survey.target, self.migration.target.collection
        if survey.target_info is None:
            # Before it is there: a target of its own is brought into its final state, whoever goes on.
            record = self._change(survey.ledger, record, created_target=True)
            self._create_target(survey)
        if record.created_target:
            later = after_creation_request(survey.source_info, name)
            if later is not None:
                server.call(server.collections.Update, later)
            created = collection_info(server, name)
            if record.final_settings is None and created is not None:
                finish = finish_request(created, survey.source_info, name)
                finish_text = base64.b64encode(finish.SerializeToString()).decode()
                record = self._change(survey.ledger, record, final_settings=finish_text)
            if created is not None:
                server.call(server.collections.Update, loading_request(created, name))
        if survey.custom_target:
            self._create_shard_keys(survey)
        for field_name, info in survey.missing_indexes.items():
            create_index(server, name, field_name, info)
        return record

    def _create_target(self, survey: PreflightResult) -> None:
        server, name = survey.target, self.migration.target.collection
        try:
            server.call(server.collections.Create, create_request(survey.source_info, name))
        except TerminalError:
            # It is there where only the answer was lost.
            made = collection_info(server, name)
            if made is None or target_differences(survey.source_info, made):
                raise
        self.view.say(f"created collection {name!r} at {server.endpoint.url}")

    def _create_shard_keys(self, survey: PreflightResult) -> None:
        server, name, routing = survey.target, self.migration.target.collection, self.migration.routing
        wanted = survey.shard_keys
        if routing.shard_key is not None:
            wanted = [ShardKeyPlacement(routing.shard_key)]
        elif routing.shard_key_field is not None:
            # Workers create these when they meet them.
            return
        there = {placement.key for placement in target_shard_keys(server, name)}
        for placement in wanted:
            if placement.key not in there:
                create_shard_key(server, name, placement)
        for notice in placement_notices(server, name, wanted):
            self.view.say(notice)

    def _open_run(self, ledger: Ledger, record: MigrationRecord) -> MigrationRecord:
        """A new run: options may have changed since the last, tasks of the last may still be queued."""
        changes: dict[str, Any] = {
            "state": State.RUNNING,
            "definition": self.migration.to_json(),
            "run": uuid.uuid4().hex,
            "max_rate": self.run_options.max_rate or record.max_rate,
            "finished": None,
            "waiting": None,
            "error": None,
        }
        # Nothing else: another coordinator may be at the plan.
        if record.state == State.PREPARING:
            return self._change(ledger, record, **changes)
        ledger.update_migration(record.migration, **changes)
        return replace(record, **changes)

    # Planning

    def _cut(self, planner: Planner, fleet: Fleet, seconds: float) -> None:
        """Plan for so long, and let the fleet have what was found."""
        try:
            if self._planning_since is None:
                if not planner.claim():
                    # Another coordinator is at it.
                    time.sleep(seconds)
                    return
                if planner.planned:
                    return
                self._planning_since = time.monotonic()
                planner.begin(self.run_options.chunk_size)
            before = planner.chunks
            planner.go_on(seconds)
            if planner.chunks > before:
                fleet.enqueue_supervision(self._task)
        except (TransientError, ChunkLostError) as error:
            self.view.warn(f"planning: {error}; trying again")
            self._planning_since = None
            return
        if planner.planned:
            self.view.say(
                f"planned {pluralize(planner.chunks, 'chunk')} in {time.monotonic() - self._planning_since:.1f} s"
            )

    # The fleet

    @cached_property
    def _task(self) -> MigrationTask:
        """UsageError where there are credentials and no secret to seal them with."""
        return MigrationTask(
            migration=self.migration.id, access=AccessGrant.of(self.migration, self.credentials).to_text()
        )
