"""The steps of a migration, in order: check both ends, prepare the target, plan, queue, watch, balance, finish."""

import base64
import logging
import time
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Protocol

from qmig import target as target_collection
from qmig.balance import Balance, balance
from qmig.connections import Server
from qmig.errors import Interrupted, TerminalError, TransientError
from qmig.fleet import Fleet
from qmig.ledger import ChunkRecord, Ledger, MigrationRecord, State
from qmig.migration import Migration
from qmig.plan import Plan, make_plan
from qmig.progress import Progress
from qmig.sealing import Credentials, seal
from qmig.sources import open_source
from qmig.sources.qdrant import QdrantSource
from qmig.survey import Survey, Surveyor, Wishes
from qmig.task import ChunkTask
from qmig.watching import Watcher
from qmig.wire import api

# Seconds between two looks at the ledger: often in a short run, and at no cost that counts in a long one.
LOOK_EVERY = 0.25
LOOK_EVERY_AT_MOST = 2.0
LOOKS_SLOW_DOWN_OVER = 300.0
# Seconds without any chunk at work until the fleet is asked who is there, and until it is asked again.
NO_WORKER_AFTER = 4.0
NO_WORKER_AGAIN = 15.0
# Seconds that workers get to give their chunks back after an interruption.
STOP_SECONDS = 30.0

log = logging.getLogger(__name__)


class View(Protocol):
    """Where a migration tells what happens."""

    def say(self, text: str) -> None: ...

    def warn(self, text: str) -> None: ...

    def show(self, progress: Progress) -> None: ...


@dataclass(frozen=True)
class Summary:
    """What a finished migration came to. `seconds` are this run's, `points` and `bytes` the migration's."""

    progress: Progress
    books: Balance
    seconds: float
    points_this_run: int


class Coordinator:
    """Runs one migration. Whatever it knows is in the ledger: killed, the same command goes on."""

    def __init__(self, migration: Migration, credentials: Credentials, wishes: Wishes, view: View) -> None:
        self.migration = migration
        self.credentials = credentials
        self.wishes = wishes
        self.view = view
        self._stack = ExitStack()

    def __enter__(self) -> "Coordinator":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def run(self, fleet: Fleet, survey: Survey, interrupted: Callable[[], bool]) -> Summary:
        """Migrate. TerminalError with the list where chunks failed or points are missing."""
        began = time.monotonic()
        # Without a secret the tasks could not carry the keys: nothing is begun then.
        seal(self.credentials)
        record, chunks = self._prepare(survey)
        if record.state == State.DONE:
            self.view.say(
                "this migration is done already: its books are checked once more; --restart-migration copies again"
            )
        record = self._begin(survey, record)
        chunks = self._reopen(survey.ledger, chunks)
        log.info("migration %s, run %s: %d chunks", record.migration, record.run, len(chunks))
        points_before = sum(chunk.acknowledged for chunk in chunks)
        progress = self._watch(fleet, survey, record, chunks, interrupted)
        if progress.failed:
            survey.ledger.update_migration(record.migration, state=State.FAILED)
            raise TerminalError(_failures(progress.failed))
        books = self._balance(survey, record)
        self._finish(survey, record, books)
        return Summary(progress, books, time.monotonic() - began, progress.points - points_before)

    def survey(self) -> Survey:
        """Look at both ends and refuse what cannot be done; nothing is written."""
        source = open_source(self.migration, self.credentials)
        self._stack.callback(source.close)
        skip = self.migration.options.skip_tls_verification
        target = self._stack.enter_context(
            Server(self.migration.target.endpoint, "target", self.credentials.target_api_key, skip)
        )
        survey = Surveyor(self.migration, self.wishes, source, target).survey()
        before = None if self.wishes.restart or survey.record is None else survey.record.definition
        recorded = None if before is None else Migration.from_json(before).source.settings
        settled = replace(self.migration.source, settings=source.settle(recorded))
        self.migration = replace(self.migration, source=settled)
        survey.notices += source.notices()
        return survey

    # Writing

    def plan(self, survey: Survey) -> Plan:
        """Cut the source into chunks; nothing is written."""
        return make_plan(survey.source, self.migration.id, self.wishes.chunk_size)

    def _prepare(self, survey: Survey) -> tuple[MigrationRecord, list[ChunkRecord]]:
        """Target and plan, from the ledger where they are there. Killed at any point, it is done again."""
        ledger, record = survey.ledger, survey.record
        if record is None or self.wishes.restart:
            ledger.create()
            record = self._new_record(survey, record)
            ledger.save_migration(record)
            ledger.forget_chunks(record.migration)
        if record.state != State.PREPARING:
            return record, ledger.chunks(record.migration, range(record.chunks))
        record = self._prepare_target(survey, record)
        began = time.monotonic()
        plan = self.plan(survey)
        ledger.save_chunks(plan.chunks)
        self.view.say(f"planned {len(plan.chunks):,} chunks in {time.monotonic() - began:.1f} s")
        record = replace(record, chunks=len(plan.chunks), chunk_size=plan.chunk_size, state=State.RUNNING)
        ledger.save_migration(record)
        return record, plan.chunks

    def _new_record(self, survey: Survey, kept: MigrationRecord | None) -> MigrationRecord:
        """`kept` is the record of a migration that begins again: what it owes the target is still owed."""
        before: dict[str, int] = {}
        if survey.target_info is not None:
            target = QdrantSource(survey.target, self.migration.target.collection)
            before = {part or "": target.count(part, exact=True) for part in target.parts()}
        owed = kept if kept is not None and kept.state != State.DONE and survey.target_info is not None else None
        return MigrationRecord(
            migration=self.migration.id,
            title=self.migration.title,
            definition=self.migration.to_json(),
            state=State.PREPARING,
            created_target=survey.target_info is None or (owed is not None and owed.created_target),
            before=before,
            finish=owed.finish if owed is not None else None,
            started=time.time(),
        )

    def _prepare_target(self, survey: Survey, record: MigrationRecord) -> MigrationRecord:
        """Create the target, its shard keys and payload indexes; one that was created loads without an index."""
        server, name = survey.target, self.migration.target.collection
        if survey.target_info is None:
            # Before it is there: a target of its own is brought into its final state, whoever goes on.
            record = replace(record, created_target=True)
            survey.ledger.save_migration(record)
            server.call(server.collections.Create, target_collection.create_request(survey.source_info, name))
            later = target_collection.after_creation_request(survey.source_info, name)
            if later is not None:
                server.call(server.collections.Update, later)
            self.view.say(f"created collection {name!r} at {server.endpoint.url}")
        if record.created_target:
            created = target_collection.collection_info(server, name)
            if record.finish is None and created is not None:
                finish = target_collection.finish_request(created, survey.source_info, name)
                record = replace(record, finish=base64.b64encode(finish.SerializeToString()).decode())
                survey.ledger.save_migration(record)
            if created is not None:
                server.call(server.collections.Update, target_collection.loading_request(created, name))
        if survey.custom_target:
            self._create_shard_keys(survey)
        for field_name, info in survey.missing_indexes.items():
            target_collection.create_index(server, name, field_name, info)
        return record

    def _create_shard_keys(self, survey: Survey) -> None:
        server, name, routing = survey.target, self.migration.target.collection, self.migration.routing
        wanted = survey.shard_keys
        if routing.shard_key is not None:
            wanted = [target_collection.ShardKeyPlacement(routing.shard_key)]
        elif routing.shard_key_field is not None:
            # Workers create these when they meet them.
            return
        there = {placement.key for placement in target_collection.shard_keys(server, name)}
        for placement in wanted:
            if placement.key not in there:
                target_collection.create_shard_key(server, name, placement)
        for notice in target_collection.placement_notices(server, name, wanted):
            self.view.say(notice)

    def _begin(self, survey: Survey, record: MigrationRecord) -> MigrationRecord:
        """A new run: options may have changed since the last, tasks of the last may still be queued."""
        record = replace(
            record, state=State.RUNNING, definition=self.migration.to_json(), run=uuid.uuid4().hex, finished=None
        )
        survey.ledger.save_migration(record)
        return record

    def _reopen(self, ledger: Ledger, chunks: list[ChunkRecord]) -> list[ChunkRecord]:
        """Chunks that failed are tried again."""
        failed = [chunk for chunk in chunks if chunk.state == State.FAILED]
        ledger.reopen(failed)
        return [replace(c, state=State.PENDING, error=None) if c.state == State.FAILED else c for c in chunks]

    # Watching

    def _watch(
        self,
        fleet: Fleet,
        survey: Survey,
        record: MigrationRecord,
        chunks: list[ChunkRecord],
        interrupted: Callable[[], bool],
    ) -> Progress:
        watcher = Watcher(survey.ledger, fleet, record, chunks, self._task())
        began = idle_since = asked = time.monotonic()
        while True:
            if interrupted():
                self._stop(survey, watcher, record)
            fleet.tend()
            try:
                progress = watcher.look()
            except TransientError as error:
                self.view.warn(f"{error}; trying again")
                watcher.forgive()
                continue
            self.view.show(progress)
            if watcher.finished:
                return progress
            now = time.monotonic()
            if progress.running:
                idle_since = now
            elif now - idle_since >= NO_WORKER_AFTER and now - asked >= NO_WORKER_AFTER:
                asked = now + NO_WORKER_AGAIN
                self._ask_for_workers(fleet)
            slower = (LOOK_EVERY_AT_MOST - LOOK_EVERY) * (now - began) / LOOKS_SLOW_DOWN_OVER
            time.sleep(min(LOOK_EVERY_AT_MOST, LOOK_EVERY + slower))

    def _task(self) -> ChunkTask:
        return ChunkTask(
            migration=self.migration.id,
            chunk=0,
            target=self.migration.target.endpoint.url,
            ledger=self.migration.target.ledger,
            credentials=seal(self.credentials),
            skip_tls_verification=self.migration.options.skip_tls_verification,
        )

    def _ask_for_workers(self, fleet: Fleet) -> None:
        try:
            workers = fleet.workers()
        except TransientError as error:
            self.view.warn(f"{error}; trying again")
            return
        if not workers:
            self.view.warn(
                f"no worker answers on {fleet.shown_url}; start some with `qmig worker --broker-url …` on any "
                "host; waiting"
            )
        else:
            self.view.warn(
                f"{len(workers)} workers answer on {fleet.shown_url} and none is at this migration: they are "
                "at other chunks, or refuse it, and their logs say why; waiting"
            )

    def _stop(self, survey: Survey, watcher: Watcher, record: MigrationRecord) -> None:
        """Let the batches in flight end and every chunk be given back."""
        self.view.say("stopping: the batches in flight may end …")
        survey.ledger.update_migration(record.migration, state=State.STOPPED)
        deadline = time.monotonic() + STOP_SECONDS
        while time.monotonic() < deadline:
            progress = watcher.look(requeue=False)
            self.view.show(progress)
            if not progress.running:
                break
            time.sleep(LOOK_EVERY)
        raise Interrupted(
            f"stopped at {progress.points:,} points; everything acknowledged is in the ledger "
            f"{self.migration.target.ledger!r}, and the same command goes on from there"
        )

    # The end

    def _balance(self, survey: Survey, record: MigrationRecord) -> Balance:
        chunks = survey.ledger.chunks(record.migration, range(record.chunks))
        target = QdrantSource(survey.target, self.migration.target.collection)
        books = balance(record, chunks, survey.source, target, self.migration.routing)
        for notice in books.notices:
            self.view.warn(notice)
        if books.errors:
            survey.ledger.update_migration(record.migration, state=State.FAILED)
            raise TerminalError(
                f"{'; '.join(books.errors)}. Copy it again with --restart-migration; the target keeps what it has"
            )
        return books

    def _finish(self, survey: Survey, record: MigrationRecord, books: Balance) -> None:
        """Put a created target into its final state: vector index on, strict mode as the source's."""
        if record.finish is not None:
            request = api.UpdateCollection.FromString(base64.b64decode(record.finish))
            survey.target.call(survey.target.collections.Update, request)
        changes = {"state": State.DONE, "finish": None, "finished": time.time(), "points": books.read}
        survey.ledger.update_migration(record.migration, **changes)


def _failures(failed: list[ChunkRecord]) -> str:
    shown = "; ".join(f"chunk {chunk.index}: {chunk.error}" for chunk in failed[:5])
    more = f"; and {len(failed) - 5} more" if len(failed) > 5 else ""
    return f"{len(failed)} chunks failed, the others are done: {shown}{more}. The same command tries them again"
