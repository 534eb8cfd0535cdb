"""The plan: chunks that together cover the whole key space of the source, without a gap between two."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil

from qmig.errors import TerminalError
from qmig.ledger.records import ChunkRecord
from qmig.sources.base import KeySpace

#: Points of the smallest default chunk. Each chunk costs some 15 ms, which would show in smaller ones.
MIN_CHUNK_SIZE = 5_000
#: Chunks of a small plan: enough to spread over a fleet and to keep all workers busy until the end.
SMALL_PLAN_CHUNKS = 20
#: Points of the largest default chunk in a small plan.
MAX_SMALL_PLAN_CHUNK_SIZE = 50_000
#: Chunks of a large plan: few enough that the cost of queueing and following them is negligible.
LARGE_PLAN_CHUNKS = 1_000


@dataclass(frozen=True)
class PlanSize:
    """The size of a plan that is to be cut."""

    #: Points by partition, as the source counts them.
    counts: dict[str | None, int]
    #: Points per chunk to aim at.
    chunk_size: int

    @property
    def points(self) -> int:
        return sum(self.counts.values())

    def chunks(self, partition: str | None) -> int:
        """The number of chunks to cut a partition into."""
        return max(1, ceil(self.counts[partition] / self.chunk_size))


def default_chunk_size(points: int) -> int:
    """Points per chunk to aim at in a collection of `points` points."""
    small = min(MAX_SMALL_PLAN_CHUNK_SIZE, ceil(points / SMALL_PLAN_CHUNKS))
    return max(MIN_CHUNK_SIZE, small, ceil(points / LARGE_PLAN_CHUNKS))


def plan_size(source: KeySpace, chunk_size: int | None) -> PlanSize:
    """Count the points of each partition, and choose a chunk size where none is given."""
    counts = {partition: source.count(partition, exact=False) for partition in source.partitions()}
    return PlanSize(counts, chunk_size or default_chunk_size(sum(counts.values())))


def cut(source: KeySpace, size: PlanSize, migration: str, last: ChunkRecord | None = None) -> Iterator[ChunkRecord]:
    """Cut the source into chunks, in the order of their keys; each is yielded as soon as its end is found.

    In every partition, the start of the first chunk and the end of the last one are open. `last` is the last chunk of
    a plan that is not complete: the next chunk begins at its end.
    """
    index = 0 if last is None else last.index + 1
    partitions = list(size.counts)
    begun = None if last is None else last.partition
    if last is not None:
        if begun not in size.counts:
            raise TerminalError(
                f"the plan has chunks of {begun!r}, which the source no longer has; begin again with "
                "--restart-migration"
            )
        partitions = partitions[partitions.index(begun) + (last.end is None) :]
    for partition in partitions:
        start = last.end if last is not None and partition == begun else None
        left = size.counts[partition]
        for boundary in source.boundaries(partition, size.chunks(partition), start):
            yield ChunkRecord(migration, index, partition, start, boundary.key, expected=boundary.points)
            index, start, left = index + 1, boundary.key, left - boundary.points
        yield ChunkRecord(migration, index, partition, start, None, expected=max(0, left))
        index += 1
