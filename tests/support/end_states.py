"""Collections in memory, for the checks at a migration's end: a source of numbered points, and its target."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from qmig.jobs.compare_ids import Comparer
from qmig.jobs.reconciliation import reconcile
from qmig.ledger.reconciliation import IdComparison, Reconciliation
from qmig.ledger.records import ChunkRecord, MigrationRecord, State
from qmig.migration import Endpoint, Migration, SourceSpec, TargetSpec
from qmig.qdrant.batch import IdPage
from qmig.qdrant.ids import digest, id_text, raw_id_of
from qmig.qdrant.reader import CollectionReader
from qmig.qdrant.routing import Router
from qmig.sources.base import Source

#: Ids in a page, at most.
PAGE = 3
DEFINITION = Migration(SourceSpec("qdrant", Endpoint("a", 1), "rows"), TargetSpec(Endpoint("b", 2), "rows"))


@dataclass
class MemorySource(Source):
    """The ids of each partition."""

    rows: dict[str | None, set[int]]

    def partitions(self) -> Sequence[str | None]:
        return list(self.rows)

    def count(self, partition: str | None, exact: bool) -> int:  # noqa: ARG002
        return len(self.rows[partition])

    def keys(self, partition: str | None, start: str | None, end: str | None) -> list[int]:
        keys = sorted(self.rows[partition])
        first = 0 if start is None else bisect_left(keys, int(start))
        return keys[first : None if end is None else bisect_left(keys, int(end))]

    def read_ids(
        self, partition: str | None, start: str | None, end: str | None, limit: int, others: Sequence[str | None] = ()
    ) -> IdPage:
        keys = self.keys(partition, start, end)
        repeated = {key for other in others for key in self.rows[other]}
        size = min(limit, PAGE)
        ids = [raw_id_of(str(key)) for key in keys[:size]]
        next_key = str(keys[size]) if len(keys) > size else None
        return IdPage(ids, next_key, repeated=frozenset(one for one in ids if int(id_text(one)) in repeated))


class MemoryTarget(CollectionReader):
    """The ids of a target without shard keys."""

    def __init__(self, ids: set[int]) -> None:
        self.ids = ids

    def partitions(self) -> Sequence[str | None]:
        return [None]

    def count(self, partition: str | None, exact: bool) -> int:  # noqa: ARG002
        return len(self.ids)

    def present_ids(self, ids: Sequence[bytes], partitions: Sequence[str | None]) -> set[bytes]:  # noqa: ARG002
        return {one for one in ids if int(id_text(one)) in self.ids}


@dataclass
class CopiedChunks:
    """A migration between two collections in memory, copied chunk by chunk."""

    source: MemorySource
    target: MemoryTarget
    chunks: list[ChunkRecord]
    rejects: dict[int, set[int]] = field(default_factory=dict)
    #: The ids that were copied.
    copied: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.before = len(self.target.ids)

    def copy(self, index: int, rejected: set[int]) -> None:
        """Copy one chunk as it is in the source now; those in `rejected` cannot be copied."""
        chunk = self.chunks[index]
        keys = self.source.keys(chunk.partition, chunk.start, chunk.end)
        self.rejects[index] = rejected & set(keys)
        arrived = set(keys) - rejected
        self.target.ids |= arrived
        self.copied |= arrived
        self.chunks[index] = replace(
            chunk,
            state=State.DONE,
            read=len(keys),
            acknowledged=len(arrived),
            rejected=len(keys) - len(arrived),
            ids_digest=digest(b"".join(raw_id_of(str(key)) for key in keys)),
        )

    def end(self) -> Reconciliation:
        """The checks at the end, one page at a time, each by another worker."""
        record = MigrationRecord(
            DEFINITION.id, DEFINITION, chunks=len(self.chunks), planned=True,
            before={"": self.before} if self.before else {},
        )  # fmt: skip
        comparison = IdComparison()
        while comparison.chunk < len(self.chunks):
            comparer = Comparer(
                comparison,
                DEFINITION,
                self.source,
                self.target,
                Router(DEFINITION.routing, custom=False),
                lambda indexes: [self.chunks[index] for index in indexes],
                lambda chunk: {str(key) for key in self.rejects[chunk.index]},
            )
            comparer.go_on(len(self.chunks), seconds=0)
            comparison = comparer.comparison
        return reconcile(record, self.chunks, comparison, self.source, self.target)
