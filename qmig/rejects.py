"""Points that cannot be copied: their records in the ledger, and how they are tried again."""

import json
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from qmig.connections import RETRY_FOR, retrying
from qmig.errors import ContentsRefusedError, Interrupted
from qmig.ledger import Ledger
from qmig.ledger_collection import is_value
from qmig.records import ChunkRecord, MigrationRecord
from qmig.sources import Source
from qmig.wire import api
from qmig.wire.payload import from_payload
from qmig.writing import Writer

# Rejects that are tried again before the ledger hears of it.
PAGE = 100


@dataclass(frozen=True)
class RejectRecord:
    """One point: where the source has it, its id in the target, and why it is not there.

    `read` is the chunk's count of points read with this point's batch: an offset before that does not know of it.
    """

    migration: str
    chunk: int
    part: str | None
    key: str
    point: str
    reason: str
    read: int

    @property
    def id(self) -> str:
        """The same for the same point, so that a batch that is repeated records it once."""
        place = json.dumps([self.part, self.key], ensure_ascii=True)
        return str(uuid.uuid5(uuid.UUID(self.migration), f"reject/{place}"))


def save_rejects(ledger: Ledger, rejects: Iterable[RejectRecord]) -> None:
    """Record points before the offset moves past them."""
    if records := [(one.id, {"record": "reject", **asdict(one)}) for one in rejects]:
        ledger.save(records)


def rejects_of(ledger: Ledger, migration: str, chunk: int | None = None) -> list[RejectRecord]:
    """The rejects of a migration, or of one of its chunks, in the order of the chunks."""
    conditions = [is_value("record", "reject"), is_value("migration", migration)]
    if chunk is not None:
        conditions.append(is_value("chunk", chunk))
    found = [_reject(from_payload(point.payload)) for point in ledger.scroll(api.Filter(must=conditions))]
    return sorted(found, key=lambda one: (one.chunk, one.read, len(one.key), one.key))


def forget_rejects(ledger: Ledger, rejects: Iterable[RejectRecord]) -> None:
    """Delete the records."""
    if ids := [api.PointId(uuid=one.id) for one in rejects]:
        ledger.delete(api.PointsSelector(points=api.PointsIdsList(ids=ids)))


def forget_rejects_ahead(ledger: Ledger, chunk: ChunkRecord) -> None:
    """Delete what an owner recorded and did not live to move the offset past: those points are copied again."""
    ahead = [one for one in rejects_of(ledger, chunk.migration, chunk.index) if one.read > chunk.read]
    forget_rejects(ledger, ahead)


def retry_rejects(
    ledger: Ledger, record: MigrationRecord, source: Source, writer: Writer, interrupted: Callable[[], bool]
) -> tuple[int, int]:
    """Read every reject from the source once more and write it; how many these were, and how many are left.

    What arrives is no reject any more, nor is what the source has deleted; the others get the reason of today. No
    worker may have any of the migration's chunks.
    """
    chunks = ledger.chunks(record.migration, range(record.chunks))
    rejects = [one for one in rejects_of(ledger, record.migration) if one.read <= chunks[one.chunk].read]
    try:
        for first in range(0, len(rejects), PAGE):
            if interrupted():
                raise Interrupted("interrupted while rejects were tried again; the same command tries the rest")
            page = rejects[first : first + PAGE]
            reasons = {one: _copy(one, chunks[one.chunk], source, writer) for one in page}
            still = [replace(one, reason=reason) for one, reason in reasons.items() if reason is not None]
            save_rejects(ledger, still)
            forget_rejects(ledger, [one for one, reason in reasons.items() if reason is None])
    finally:
        left = _settle(ledger, record, chunks)
    return len(rejects), left


def _copy(reject: RejectRecord, chunk: ChunkRecord, source: Source, writer: Writer) -> str | None:
    """Copy one point; the reason why it still cannot be."""
    attempts = retrying(RETRY_FOR)
    batch = attempts(lambda: source.start_read(reject.part, reject.key, chunk.end, 1).result())
    for unfit in batch.unfit:
        if unfit.key == reject.key:
            return unfit.reason
    points = [point for point in batch.points if source.key_of(point) == reject.key]

    def write() -> str | None:
        upserts, strays = writer.start(points, reject.part)
        for upsert in upserts:
            writer.check(upsert)
        return next((reason for _, reason in strays), None)

    try:
        return attempts(write)
    except ContentsRefusedError as error:
        return str(error)


def _settle(ledger: Ledger, record: MigrationRecord, chunks: Sequence[ChunkRecord]) -> int:
    """Count the rejects that are left, chunk by chunk. From the records, so that a kill in between does no harm."""
    left = Counter(one.chunk for one in rejects_of(ledger, record.migration) if one.read <= chunks[one.chunk].read)
    for chunk in chunks:
        if chunk.rejected != left[chunk.index]:
            ledger.change(chunk, rejected=left[chunk.index], acknowledged=chunk.read - left[chunk.index])
    return left.total()


def _reject(payload: dict[str, Any]) -> RejectRecord:
    return RejectRecord(**{one.name: payload[one.name] for one in fields(RejectRecord)})
