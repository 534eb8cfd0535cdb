"""The offsets collection in the target: plans, offsets and states of all migrations. The only durable truth.

One point a migration (its id is the migration's id) and one a chunk (UUIDv5 of migration and index). A change
to a chunk is a `set_payload` under a filter on the owner, which the server applies as one step: a worker that
lost its chunk changes nothing any more.
"""

from collections.abc import Sequence
from dataclasses import asdict, fields, replace
from typing import Any, TypeVar

from qmig.errors import LedgerWriteError, NotFoundError, TerminalError
from qmig.ledger.collection import PAGE, LedgerCollection, is_value
from qmig.ledger.records import LEDGER_VERSION, NOBODY, PLAN, ChunkRecord, MigrationRecord, State, chunk_id
from qmig.qdrant import messages as api
from qmig.qdrant.payload import from_payload
from qmig.rpc.call import Call

Record = TypeVar("Record", MigrationRecord, ChunkRecord)


class Ledger(LedgerCollection):
    """The ledger collection `name` on the target server: its migrations and chunks."""

    # The migrations

    def migration(self, migration: str, retry_for: float | None = None) -> MigrationRecord | None:
        """The record, or None; TerminalError where a newer qmig wrote it."""
        try:
            return next((_migration(point) for point in self._get([migration], retry_for)), None)
        except NotFoundError:
            return None

    def migrations(self) -> list[MigrationRecord]:
        """Every migration in this ledger, the oldest first."""
        if not self.exists():
            return []
        found = self.scroll(api.Filter(must=[is_value("record", "migration")]))
        return sorted(map(_migration, found), key=lambda record: record.started)

    def save_migration(self, record: MigrationRecord) -> None:
        self.save([(record.migration, {"record": "migration", **asdict(record)})])

    def update_migration(self, migration: str, **changes: Any) -> None:
        ids = api.PointsSelector(points=api.PointsIdsList(ids=[api.PointId(uuid=migration)]))
        self._set(ids, changes)

    def change_migration(self, seen: MigrationRecord, **changes: Any) -> bool:
        """Change a migration that still has the state and the run that it was seen with; whether it had."""
        is_itself = api.Condition(has_id=api.HasIdCondition(has_id=[api.PointId(uuid=seen.migration)]))
        as_seen = api.Filter(must=[is_itself, is_value("state", seen.state), is_value("run", seen.run)])
        self._set(api.PointsSelector(filter=as_seen), changes)
        wanted, now = replace(seen, **changes), self.migration(seen.migration)
        return now is not None and (now.state, now.run) == (wanted.state, wanted.run)

    def forget_chunks(self, migration: str) -> None:
        """Delete the plan, the chunks and the rejects of this migration; another migration's records stay."""
        is_itself = is_value("record", "migration")
        of_migration = api.Filter(must=[is_value("migration", migration)], must_not=[is_itself])
        self.delete(api.PointsSelector(filter=of_migration))

    # The chunks

    def save_chunks(self, chunks: Sequence[ChunkRecord]) -> None:
        for start in range(0, len(chunks), PAGE):
            page = chunks[start : start + PAGE]
            self.save([(chunk.id, {"record": "chunk", **asdict(chunk)}) for chunk in page])

    def chunks(self, migration: str, indexes: Sequence[int]) -> list[ChunkRecord]:
        """The chunks with these indexes, in their order; TerminalError where the plan has a hole."""
        found: dict[int, ChunkRecord] = {}
        for start in range(0, len(indexes), PAGE):
            ids = [chunk_id(migration, index) for index in indexes[start : start + PAGE]]
            for point in self._get(ids):
                chunk = _record(ChunkRecord, point)
                found[chunk.index] = chunk
        missing = [index for index in indexes if index not in found]
        if missing:
            raise TerminalError(
                f"the ledger {self.name!r} lacks {len(missing)} chunks of migration {migration}, chunk "
                f"{missing[0] + 1} first; begin again with --restart-migration"
            )
        return [found[index] for index in indexes]

    def chunks_in(self, migration: str, state: str, limit: int | None = None) -> list[ChunkRecord]:
        """Chunks in this state: all, or any `limit` of them."""
        wanted = _chunks_of(migration, state)
        return [_record(ChunkRecord, point) for point in self.scroll(wanted, limit)]

    def unfinished(self, migration: str) -> int:
        """The number of chunks that are neither done nor failed."""
        request = api.CountPoints(
            collection_name=self.name, filter=_chunks_of(migration, State.PENDING, State.RUNNING), exact=True
        )
        return self.server.call(self.server.points.Count, request).result.count

    def plan(self, migration: str) -> ChunkRecord:
        """The record of the migration's plan, made where it is missing: its end may be open for a long time."""
        try:
            return self.chunks(migration, [PLAN])[0]
        except TerminalError:
            plan = ChunkRecord(migration, PLAN, None, None, None)
            self.save([(plan.id, {"record": "plan", **asdict(plan)})])
            return plan

    def claim(self, seen: ChunkRecord, owner: str) -> ChunkRecord | None:
        """Make the chunk the owner's if nobody has claimed it since it was seen; None where another was faster.

        The owner alone would not tell: another may have come and gone, and the chunk be done. LedgerWriteError where
        the ledger refuses to be written.
        """
        unclaimed = _owned(seen)
        unclaimed.filter.must.append(is_value("claims", seen.claims))
        changes = {
            "state": State.RUNNING,
            "owner": owner,
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
        claimed = self.chunks(seen.migration, [seen.index])[0]
        return claimed if claimed.owner == owner else None

    def change(self, chunk: ChunkRecord, retry_for: float | None = None, **changes: Any) -> ChunkRecord | None:
        """Change a chunk as its owner; None, and nothing changed, where it is another's by now."""
        after = replace(chunk, **{"heartbeat": chunk.heartbeat + 1, **changes})
        self._set(_owned(chunk), {**changes, "heartbeat": after.heartbeat}, retry_for)
        now = self.chunks(chunk.migration, [chunk.index])[0]
        return after if (now.owner, now.heartbeat) == (after.owner, after.heartbeat) else None

    def start_change(self, chunk: ChunkRecord, **changes: Any) -> Call[api.PointsOperationResponse]:
        """Send a change as the chunk's owner and go on."""
        request = self._set_request(_owned(chunk), changes)
        return self.server.start(self.server.points.SetPayload, request)

    def look(
        self, migration: str, index: int, retry_for: float | None = None
    ) -> tuple[ChunkRecord | None, MigrationRecord | None]:
        """A chunk and its migration in one call; None is one that is not there."""
        request = self._get_request([chunk_id(migration, index), migration])
        try:
            return self.seen(self.server.call(self.server.points.Get, request, retry_for=retry_for))
        except NotFoundError:
            return None, None

    def start_look(self, chunk: ChunkRecord) -> Call[api.GetResponse]:
        """Ask for a chunk and its migration; `seen` reads the answer."""
        return self.server.start(self.server.points.Get, self._get_request([chunk.id, chunk.migration]))

    def seen(self, answer: api.GetResponse) -> tuple[ChunkRecord | None, MigrationRecord | None]:
        """Chunk and migration out of the answer to `start_look`; None is one that is not there any more."""
        chunk = migration = None
        for point in answer.result:
            if "index" in point.payload:
                chunk = _record(ChunkRecord, point)
            else:
                migration = _migration(point)
        return chunk, migration

    def reopen(self, chunks: Sequence[ChunkRecord]) -> None:
        """Failed chunks wait for a worker again, from the offset that they had reached."""
        changes = {"state": State.PENDING, "owner": NOBODY, "lost_owners": 0, "error": None}
        for start in range(0, len(chunks), PAGE):
            ids = [api.PointId(uuid=chunk.id) for chunk in chunks[start : start + PAGE]]
            self._set(api.PointsSelector(points=api.PointsIdsList(ids=ids)), changes)


def _chunks_of(migration: str, *states: str) -> api.Filter:
    in_state = api.Match(keywords=api.RepeatedStrings(strings=states))
    return api.Filter(
        must=[
            is_value("record", "chunk"),
            is_value("migration", migration),
            api.Condition(field=api.FieldCondition(key="state", match=in_state)),
        ]
    )


def _owned(chunk: ChunkRecord) -> api.PointsSelector:
    """The chunk's point, if it still has the owner that it has here."""
    is_chunk = api.Condition(has_id=api.HasIdCondition(has_id=[api.PointId(uuid=chunk.id)]))
    return api.PointsSelector(filter=api.Filter(must=[is_chunk, is_value("owner", chunk.owner)]))


def _migration(point: api.RetrievedPoint) -> MigrationRecord:
    version = point.payload["version"].integer_value
    if version > LEDGER_VERSION:
        raise TerminalError(
            f"the ledger's record of migration {point.id.uuid} has version {version}, this qmig reads up to "
            f"{LEDGER_VERSION}; use the newer qmig that wrote it"
        )
    return _record(MigrationRecord, point)


def _record(kind: type[Record], point: api.RetrievedPoint) -> Record:
    payload = from_payload(point.payload)
    return kind(**{one.name: payload[one.name] for one in fields(kind) if one.name in payload})
