"""Points that cannot be copied: their records in the ledger, and how they are tried again."""

import json
import uuid
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from typing import Any

from qmig.ledger.collection import is_value
from qmig.ledger.ledger import Ledger
from qmig.ledger.records import ChunkRecord
from qmig.qdrant import messages as api
from qmig.qdrant.payload import from_payload


@dataclass(frozen=True)
class RejectRecord:
    """One point: where the source has it, its id in the target, and why it is not there.

    `read` is the chunk's count of points read with this point's batch: an offset before that does not know of it.
    """

    migration: str
    chunk: int
    partition: str | None
    key: str
    point: str
    reason: str
    read: int

    @property
    def id(self) -> str:
        """The same for the same point, so that a batch that is repeated records it once."""
        place = json.dumps([self.partition, self.key], ensure_ascii=True)
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


def _reject(payload: dict[str, Any]) -> RejectRecord:
    return RejectRecord(**{one.name: payload[one.name] for one in fields(RejectRecord)})
