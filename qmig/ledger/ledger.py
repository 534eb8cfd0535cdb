"""The ledger: plans, offsets and states of all migrations into one server. The only durable truth.

One point for each migration (its id is the migration's id) and for each chunk (UUIDv5 of migration and index). Every
write that follows from a look at the ledger has a condition, which the server applies atomically: a migration is
changed in the state and the run that were seen, its plan by the planner that has taken it over, and a chunk while it
has the planner and the owner that were seen. A process that is late changes nothing any more.
"""

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from qmig.errors import LedgerWriteError, NewerRecordError, NotFoundError, TerminalError
from qmig.ledger.collection import PAGE, LedgerCollection, Malformed, is_below, is_value, record_id
from qmig.ledger.owner import NOBODY, Owner
from qmig.ledger.records import (
    LEDGER_VERSION,
    PLAN,
    ChunkRecord,
    MigrationRecord,
    RecordKind,
    State,
    chunk_id,
)
from qmig.qdrant import messages as api
from qmig.rpc.call import Call

#: Matches no record: what exists is kept.
NOTHING = api.Filter(must=[is_value("record", "")])
#: Seconds for which chunks that seem to be missing are read again: a replica on a cluster may be late.
REPLICA_LAG = 1.0


class Ledger(LedgerCollection):
    """The migrations and chunks in the ledger `name` on the target server."""

    # The migrations

    def migration(self, migration: str, retry_for: float | None = None) -> MigrationRecord | None:
        """The migration's record, or None; WorkerError where a newer qmig wrote it."""
        try:
            return next((self._migration(point) for point in self._get([migration], retry_for)), None)
        except NotFoundError:
            return None

    def migrations(self, malformed: Malformed | None = None) -> list[MigrationRecord]:
        """All migrations for people, the oldest first by the clocks of the hosts that began them.

        Those that cannot be read go to `malformed`; without it, one raises.
        """
        if not self.exists():
            return []
        points = self.scroll(api.Filter(must=[is_value("record", RecordKind.MIGRATION)]))
        return sorted(self.parse_all(self._migration, points, malformed), key=lambda record: record.started)

    def save_migration(self, record: MigrationRecord) -> bool:
        """Write the record of a new migration. Return whether it is there: one that exists is not replaced."""
        self.save(RecordKind.MIGRATION, [record], NOTHING)
        now = self.migration(record.migration)
        return now is not None and now.run == record.run

    def change_migration(self, seen: MigrationRecord, **changes: Any) -> bool:
        """Change a migration if its state and run are still those of `seen`; whether they were."""
        as_seen = [_has_id(seen.migration), is_value("state", seen.state), is_value("run", seen.run)]
        self._set(_selected(*as_seen), changes)
        return self.is_current(replace(seen, **changes))

    def is_current(self, seen: MigrationRecord) -> bool:
        """Whether the migration's state and run are still those of `seen`."""
        now = self.migration(seen.migration)
        return now is not None and (now.state, now.run) == (seen.state, seen.run)

    # The plan

    def plan(self, migration: str) -> ChunkRecord:
        """The record of the migration's plan, created if it does not exist."""
        if found := self._chunks(migration, [PLAN]):
            return found[0]
        self.save(RecordKind.PLAN, [ChunkRecord(migration, PLAN, None, None, None)], NOTHING)
        return self.chunks(migration, [PLAN])[0]

    def take_over_plan(self, plan: ChunkRecord, **changes: Any) -> MigrationRecord | None:
        """Let only the owner who claimed `plan` add chunks from now on, and change the migration.

        The planner's number is the number of the plan's claims. None where a later planner has taken over the plan.
        """
        self._set(
            _selected(_has_id(plan.migration), is_below("planner", plan.claims)), {**changes, "planner": plan.claims}
        )
        return self._planned_by(plan)

    def change_plan(self, plan: ChunkRecord, **changes: Any) -> MigrationRecord | None:
        """Change a migration as its planner. None, and nothing changed, where a later planner has taken over."""
        self._set(_selected(_has_id(plan.migration), is_value("planner", plan.claims)), changes)
        return self._planned_by(plan)

    def _planned_by(self, plan: ChunkRecord) -> MigrationRecord | None:
        now = self.migration(plan.migration)
        return now if now is not None and now.planner == plan.claims else None

    def forget_chunks(self, plan: ChunkRecord) -> None:
        """Delete the chunks and the rejects of all planners before the one who claimed `plan`."""
        kept = [is_value("record", kind) for kind in (RecordKind.MIGRATION, RecordKind.PLAN)]
        earlier = [is_value("migration", plan.migration), is_below("planner", plan.claims)]
        self.delete(api.PointsSelector(filter=api.Filter(must=earlier, must_not=kept)))

    def save_chunks(self, chunks: Sequence[ChunkRecord]) -> None:
        """Write chunks of one planner. They replace those of earlier planners, and no others.

        A page that comes late, after a later planner has written its chunks, changes none of these.
        """
        if chunks:
            self.save(RecordKind.CHUNK, chunks, api.Filter(must=[is_below("planner", chunks[0].planner)]))

    # The chunks

    def chunks(self, migration: str, indexes: Sequence[int]) -> list[ChunkRecord]:
        """The chunks with these indexes, in this order; TerminalError where the ledger lacks some."""
        found: dict[int, ChunkRecord] = {}
        missing, deadline = list(indexes), time.monotonic() + REPLICA_LAG
        while missing:
            found.update((chunk.index, chunk) for chunk in self._chunks(migration, missing))
            missing = [index for index in missing if index not in found]
            if missing and time.monotonic() >= deadline:
                raise TerminalError(
                    f"the ledger {self.name!r} lacks {len(missing)} chunks of migration {migration}, chunk "
                    f"{missing[0] + 1} first; begin again with --restart-migration"
                )
            if missing:
                time.sleep(REPLICA_LAG / 10)
        return [found[index] for index in indexes]

    def _chunks(self, migration: str, indexes: Sequence[int]) -> list[ChunkRecord]:
        """Those of the chunks that exist."""
        ids = [chunk_id(migration, index) for index in indexes]
        points = [point for start in range(0, len(ids), PAGE) for point in self._get(ids[start : start + PAGE])]
        return [self.parse(ChunkRecord, point) for point in points]

    def chunks_in(self, record: MigrationRecord, state: State, limit: int | None = None) -> list[ChunkRecord]:
        """Chunks of the plan in this state: all, or any `limit` of them."""
        return self._find(_planned(record, state), limit)

    def held(self, migration: str) -> list[ChunkRecord]:
        """The chunks that workers hold, those of an earlier plan too."""
        return self._find(_chunks_of(migration, State.RUNNING))

    def _find(self, wanted: api.Filter, limit: int | None = None) -> list[ChunkRecord]:
        return [self.parse(ChunkRecord, point) for point in self.scroll(wanted, limit)]

    def has_unfinished(self, record: MigrationRecord) -> bool:
        """Whether a chunk of the plan is neither done nor failed."""
        return bool(self.scroll(_planned(record, State.PENDING, State.RUNNING), 1))

    def unfinished(self, record: MigrationRecord, retry_for: float | None = None) -> int:
        """Number of chunks of the plan that are neither done nor failed."""
        return self.count(_planned(record, State.PENDING, State.RUNNING), retry_for)

    def claim_in_run(
        self, seen: ChunkRecord, record: MigrationRecord, owner: Owner, retry_for: float | None = None
    ) -> ChunkRecord | None:
        """Claim a chunk for the run of `record`. None if another worker was faster, or the run is over.

        The migration is read after the claim. Whoever pauses, ends or begins it changes its record first and then
        looks who holds chunks: either sees the other.
        """
        self._try_claim(seen, owner, record.run, retry_for)
        claimed, now = self.chunk_and_migration(seen.migration, seen.index, retry_for)
        if claimed is None or claimed.owner != str(owner):
            return None
        if now is not None and (now.state, now.run) == (State.RUNNING, record.run):
            return claimed
        self.change(claimed, retry_for, state=State.PENDING, owner=NOBODY)
        return None

    def claim(self, seen: ChunkRecord, owner: Owner) -> ChunkRecord | None:
        """Give a chunk or the plan to `owner`; None if another process was faster."""
        self._try_claim(seen, owner, seen.run)
        claimed = next(iter(self._chunks(seen.migration, [seen.index])), None)
        return claimed if claimed is not None and claimed.owner == str(owner) else None

    def _try_claim(self, seen: ChunkRecord, owner: Owner, run: str, retry_for: float | None = None) -> None:
        """Give the chunk to `owner` if no worker has claimed it since it was read.

        The number of claims tells that: the field `owner` would be the same again where another has claimed the chunk
        and finished it. LedgerWriteError where the ledger cannot be written.
        """
        unclaimed = _owned(seen)
        unclaimed.filter.must.append(is_value("claims", seen.claims))
        changes = {
            "state": State.RUNNING,
            "owner": str(owner),
            "heartbeat": seen.heartbeat + 1,
            "claims": seen.claims + 1,
            "run": run,
            "lost_owners": seen.lost_owners + bool(seen.owner),
            "waiting": None,
            "waiting_seconds": 0.0,
            "error": None,
        }
        try:
            self._set(unclaimed, changes, retry_for)
        except TerminalError as error:
            raise LedgerWriteError(f"the ledger cannot be written: {error}") from None

    def change(self, chunk: ChunkRecord, retry_for: float | None = None, **changes: Any) -> ChunkRecord | None:
        """Change a chunk and count a heartbeat.

        None, and nothing changed, if it has another owner by now, belongs to another plan, or was deleted.
        """
        after = replace(chunk, **{"heartbeat": chunk.heartbeat + 1, **changes})
        self._set(_owned(chunk), {**changes, "heartbeat": after.heartbeat}, retry_for)
        now, _ = self.chunk_and_migration(chunk.migration, chunk.index, retry_for)
        is_written = now is not None and (now.owner, now.heartbeat) == (after.owner, after.heartbeat)
        return after if is_written else None

    def start_change(self, chunk: ChunkRecord, **changes: Any) -> Call[api.PointsOperationResponse]:
        """Send a change of a chunk, for as long as its owner is the same, without waiting for the answer."""
        request = self._set_request(_owned(chunk), changes)
        return self.server.start(self.server.points.SetPayload, request)

    def chunk_and_migration(
        self, migration: str, index: int, retry_for: float | None = None
    ) -> tuple[ChunkRecord | None, MigrationRecord | None]:
        """A chunk and its migration, read in one call; None where there is no such record."""
        request = self._get_request([chunk_id(migration, index), migration])
        try:
            return self.parse_chunk_and_migration(
                self.server.call(self.server.points.Get, request, retry_for=retry_for)
            )
        except NotFoundError:
            return None, None

    def start_read(self, chunk: ChunkRecord) -> Call[api.GetResponse]:
        """Request a chunk and its migration; `parse_chunk_and_migration` reads the answer."""
        return self.server.start(self.server.points.Get, self._get_request([chunk.id, chunk.migration]))

    def parse_chunk_and_migration(self, answer: api.GetResponse) -> tuple[ChunkRecord | None, MigrationRecord | None]:
        """The records in the answer to `start_read`; None where there is no such record."""
        chunk = migration = None
        for point in answer.result:
            if "index" in point.payload:
                chunk = self.parse(ChunkRecord, point)
            else:
                migration = self._migration(point)
        return chunk, migration

    def reopen(self, record: MigrationRecord) -> None:
        """Let chunks that failed in an earlier run wait for a worker again, from the offset that they had reached."""
        failed = _planned(record, State.FAILED)
        failed.must_not.append(is_value("run", record.run))
        changes = {"state": State.PENDING, "owner": NOBODY, "lost_owners": 0, "error": None}
        self._set(api.PointsSelector(filter=failed), changes)

    def _migration(self, point: api.RetrievedPoint) -> MigrationRecord:
        version = point.payload["version"].integer_value if "version" in point.payload else LEDGER_VERSION
        if version > LEDGER_VERSION:
            raise NewerRecordError(
                f"the ledger's record of migration {record_id(point)} has version {version}, this qmig reads up to "
                f"{LEDGER_VERSION}; use the newer qmig that wrote it"
            )
        return self.parse(MigrationRecord, point)


def _chunks_of(migration: str, *states: State) -> api.Filter:
    in_state = api.Match(keywords=api.RepeatedStrings(strings=states))
    return api.Filter(
        must=[
            is_value("record", RecordKind.CHUNK),
            is_value("migration", migration),
            api.Condition(field=api.FieldCondition(key="state", match=in_state)),
        ]
    )


def _planned(record: MigrationRecord, *states: State) -> api.Filter:
    """Matches the chunks that the plan counts. A planner that was overtaken may have written others after them."""
    wanted = _chunks_of(record.migration, *states)
    wanted.must.append(is_below("index", record.chunks))
    return wanted


def _owned(chunk: ChunkRecord) -> api.PointsSelector:
    """Selects the chunk's point if its planner and its owner are still the same."""
    return _selected(_has_id(chunk.id), is_value("planner", chunk.planner), is_value("owner", chunk.owner))


def _has_id(record: str) -> api.Condition:
    return api.Condition(has_id=api.HasIdCondition(has_id=[api.PointId(uuid=record)]))


def _selected(*conditions: api.Condition) -> api.PointsSelector:
    return api.PointsSelector(filter=api.Filter(must=conditions))
