"""The ledger: plans, offsets and states of all migrations into one server. The only durable truth.

One point for each migration (its id is the migration's id) and for each chunk (UUIDv5 of migration and index). A
chunk is changed by a `set_payload` under a filter on the owner, which the server applies atomically: a worker that
lost its chunk changes nothing any more.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from qmig.errors import LedgerWriteError, NotFoundError, TerminalError, WorkerError
from qmig.ledger.collection import PAGE, LedgerCollection, is_value
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


class Ledger(LedgerCollection):
    """The migrations and chunks in the ledger `name` on the target server."""

    # The migrations

    def migration(self, migration: str, retry_for: float | None = None) -> MigrationRecord | None:
        """The migration's record, or None; WorkerError where a newer qmig wrote it."""
        try:
            return next((self._migration(point) for point in self._get([migration], retry_for)), None)
        except NotFoundError:
            return None

    def migrations(self) -> list[MigrationRecord]:
        """All migrations, the oldest first."""
        if not self.exists():
            return []
        found = self.scroll(api.Filter(must=[is_value("record", RecordKind.MIGRATION)]))
        return sorted(map(self._migration, found), key=lambda record: record.started)

    def save_migration(self, record: MigrationRecord) -> None:
        """Write a migration's record, replacing the one that exists."""
        self.save(RecordKind.MIGRATION, [record])

    def update_migration(self, migration: str, **changes: Any) -> None:
        """Change some fields of a migration, whatever its state and run."""
        ids = api.PointsSelector(points=api.PointsIdsList(ids=[api.PointId(uuid=migration)]))
        self._set(ids, changes)

    def change_migration(self, seen: MigrationRecord, **changes: Any) -> bool:
        """Change a migration if its state and run are still those of `seen`; whether they were."""
        is_itself = api.Condition(has_id=api.HasIdCondition(has_id=[api.PointId(uuid=seen.migration)]))
        as_seen = api.Filter(must=[is_itself, is_value("state", seen.state), is_value("run", seen.run)])
        self._set(api.PointsSelector(filter=as_seen), changes)
        wanted, now = replace(seen, **changes), self.migration(seen.migration)
        return now is not None and (now.state, now.run) == (wanted.state, wanted.run)

    def forget_chunks(self, migration: str) -> None:
        """Delete the plan, the chunks and the rejects of this migration; another migration's records stay."""
        is_itself = is_value("record", RecordKind.MIGRATION)
        of_migration = api.Filter(must=[is_value("migration", migration)], must_not=[is_itself])
        self.delete(api.PointsSelector(filter=of_migration))

    # The chunks

    def save_chunks(self, chunks: Sequence[ChunkRecord]) -> None:
        """Write chunks, replacing those that exist."""
        self.save(RecordKind.CHUNK, chunks)

    def chunks(self, migration: str, indexes: Sequence[int]) -> list[ChunkRecord]:
        """The chunks with these indexes, in this order; TerminalError where the ledger lacks some."""
        found: dict[int, ChunkRecord] = {}
        for start in range(0, len(indexes), PAGE):
            ids = [chunk_id(migration, index) for index in indexes[start : start + PAGE]]
            for point in self._get(ids):
                chunk = self.parse(ChunkRecord, point)
                found[chunk.index] = chunk
        missing = [index for index in indexes if index not in found]
        if missing:
            raise TerminalError(
                f"the ledger {self.name!r} lacks {len(missing)} chunks of migration {migration}, chunk "
                f"{missing[0] + 1} first; begin again with --restart-migration"
            )
        return [found[index] for index in indexes]

    def chunks_in(self, migration: str, state: State, limit: int | None = None) -> list[ChunkRecord]:
        """Chunks in this state: all, or any `limit` of them."""
        wanted = _chunks_of(migration, state)
        return [self.parse(ChunkRecord, point) for point in self.scroll(wanted, limit)]

    def unfinished(self, migration: str) -> int:
        """Number of chunks that are neither done nor failed."""
        request = api.CountPoints(
            collection_name=self.name, filter=_chunks_of(migration, State.PENDING, State.RUNNING), exact=True
        )
        return self.server.call(self.server.points.Count, request).result.count

    def plan(self, migration: str) -> ChunkRecord:
        """The record of the migration's plan, created if it does not exist."""
        try:
            return self.chunks(migration, [PLAN])[0]
        except TerminalError:
            plan = ChunkRecord(migration, PLAN, None, None, None)
            self.save(RecordKind.PLAN, [plan])
            return plan

    def claim(self, seen: ChunkRecord, owner: Owner) -> ChunkRecord | None:
        """Give the chunk to `owner` if no worker has claimed it since it was read; None if another worker was faster.

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
            "lost_owners": seen.lost_owners + bool(seen.owner),
            "waiting": None,
            "error": None,
        }
        try:
            self._set(unclaimed, changes)
        except TerminalError as error:
            raise LedgerWriteError(f"the ledger cannot be written: {error}") from None
        claimed = self._chunk(seen)
        return claimed if claimed is not None and claimed.owner == str(owner) else None

    def change(self, chunk: ChunkRecord, retry_for: float | None = None, **changes: Any) -> ChunkRecord | None:
        """Change a chunk and count a heartbeat; None, and nothing changed, if another owner has it or it is lost."""
        after = replace(chunk, **{"heartbeat": chunk.heartbeat + 1, **changes})
        self._set(_owned(chunk), {**changes, "heartbeat": after.heartbeat}, retry_for)
        now = self._chunk(chunk)
        is_changed = now is not None and (now.owner, now.heartbeat) == (after.owner, after.heartbeat)
        return after if is_changed else None

    def _chunk(self, chunk: ChunkRecord) -> ChunkRecord | None:
        """The chunk as the ledger has it now; None where the record was deleted."""
        return next((self.parse(ChunkRecord, point) for point in self._get([chunk.id])), None)

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

    def reopen(self, chunks: Sequence[ChunkRecord]) -> None:
        """Let failed chunks wait for a worker again, from the offset that they had reached."""
        changes = {"state": State.PENDING, "owner": NOBODY, "lost_owners": 0, "error": None}
        for start in range(0, len(chunks), PAGE):
            ids = [api.PointId(uuid=chunk.id) for chunk in chunks[start : start + PAGE]]
            self._set(api.PointsSelector(points=api.PointsIdsList(ids=ids)), changes)

    def _migration(self, point: api.RetrievedPoint) -> MigrationRecord:
        version = point.payload["version"].integer_value if "version" in point.payload else LEDGER_VERSION
        if version > LEDGER_VERSION:
            raise WorkerError(
                f"the ledger's record of migration {point.id.uuid} has version {version}, this qmig reads up to "
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


def _owned(chunk: ChunkRecord) -> api.PointsSelector:
    """Selects the chunk's point if its owner is still the same."""
    is_chunk = api.Condition(has_id=api.HasIdCondition(has_id=[api.PointId(uuid=chunk.id)]))
    return api.PointsSelector(filter=api.Filter(must=[is_chunk, is_value("owner", chunk.owner)]))
