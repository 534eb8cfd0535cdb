"""Points that cannot be copied, as records in the ledger."""

import json
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

from qmig.ledger.collection import Malformed, is_value
from qmig.ledger.fields import Count, MigrationId
from qmig.ledger.ledger import Ledger
from qmig.ledger.records import ChunkRecord, RecordKind
from qmig.qdrant import messages as api


@dataclass(frozen=True)
class RejectRecord:
    """One point that cannot be copied."""

    #: Id of the migration.
    migration: MigrationId
    #: Index of the chunk whose range has the point.
    chunk: Count
    #: The partition of the source that has the point; None where it has none.
    partition: str | None
    #: The point's key in the source.
    key: str
    #: The point's id in the target.
    point: str
    #: Why the point cannot be copied: the target's words, or the reader's.
    reason: str
    #: The chunk's count of points read with this point's batch: an offset before that does not include the reject.
    read: Count
    #: Number of the planner that wrote the chunk.
    planner: Count = 0

    @property
    def id(self) -> str:
        """The id of the record. It is the same for the same point, so that a repeated batch records it once."""
        place = json.dumps([self.partition, self.key], ensure_ascii=True)
        return str(uuid.uuid5(uuid.UUID(self.migration), f"reject/{place}"))


def save_rejects(ledger: Ledger, rejects: Iterable[RejectRecord]) -> None:
    """Record points before the offset moves past them."""
    ledger.save(RecordKind.REJECT, list(rejects))


def rejects_of(
    ledger: Ledger, migration: str, chunk: int | None = None, malformed: Malformed | None = None
) -> list[RejectRecord]:
    """The rejects of a migration, or of one of its chunks, ordered by chunk and key.

    Those that cannot be read go to `malformed`; without it, one raises.
    """
    conditions = [is_value("record", RecordKind.REJECT), is_value("migration", migration)]
    if chunk is not None:
        conditions.append(is_value("chunk", chunk))
    points = ledger.scroll(api.Filter(must=conditions))
    found = ledger.parse_all(partial(ledger.parse, RejectRecord), points, malformed)
    return sorted(found, key=lambda reject: (reject.chunk, reject.read, len(reject.key), reject.key))


def forget_rejects(ledger: Ledger, rejects: Iterable[RejectRecord]) -> None:
    """Delete the records."""
    if ids := [api.PointId(uuid=reject.id) for reject in rejects]:
        ledger.delete(api.PointsSelector(points=api.PointsIdsList(ids=ids)))


def forget_rejects_ahead(ledger: Ledger, chunk: ChunkRecord) -> None:
    """Delete rejects after the chunk's offset: their owner was lost before it moved, and they are copied again."""
    ahead = [reject for reject in rejects_of(ledger, chunk.migration, chunk.index) if reject.read > chunk.read]
    forget_rejects(ledger, ahead)
