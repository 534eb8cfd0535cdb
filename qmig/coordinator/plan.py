"""The plan: chunks that together cover the source's whole key space, so that nothing can fall between two."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil

from qmig.errors import TerminalError
from qmig.ledger.records import ChunkRecord
from qmig.sources.base import KeySpace

# A chunk costs some 15 ms of its own; below this size that would show.
SMALLEST_CHUNK = 5_000
# Enough chunks to spread over a fleet and to even out its end …
CHUNKS_OF_A_SMALL_PLAN = 20
LARGEST_OF_A_SMALL_PLAN = 50_000
# … and few enough that queueing and watching them costs nothing.
CHUNKS_OF_A_LARGE_PLAN = 1_000


@dataclass(frozen=True)
class PlanSize:
    """What a plan aims at: points in each part of the source, and points in a chunk."""

    counts: dict[str | None, int]
    chunk_size: int

    @property
    def points(self) -> int:
        return sum(self.counts.values())

    def pieces(self, partition: str | None) -> int:
        return max(1, ceil(self.counts[partition] / self.chunk_size))


def default_chunk_size(points: int) -> int:
    """Points a chunk aims at, from the size of the collection."""
    small = min(LARGEST_OF_A_SMALL_PLAN, ceil(points / CHUNKS_OF_A_SMALL_PLAN))
    return max(SMALLEST_CHUNK, small, ceil(points / CHUNKS_OF_A_LARGE_PLAN))


def plan_size(source: KeySpace, chunk_size: int | None) -> PlanSize:
    """Count the source's parts and choose the size of a chunk where none is given."""
    counts = {partition: source.count(partition, exact=False) for partition in source.partitions()}
    return PlanSize(counts, chunk_size or default_chunk_size(sum(counts.values())))


def cut(
    source: KeySpace, outline: PlanSize, migration: str, last: ChunkRecord | None = None
) -> Iterator[ChunkRecord]:
    """The chunks in the order of their keys, each as soon as its end is found.

    `last` is the last chunk of a plan that was begun: it goes on behind that one. In every part the first chunk
    begins and the last one ends open.
    """
    index = 0 if last is None else last.index + 1
    partitions = list(outline.counts)
    begun = None if last is None else last.partition
    if last is not None:
        if begun not in outline.counts:
            raise TerminalError(f"the plan was begun with {begun}, which the source has no more; --restart-migration")
        partitions = partitions[partitions.index(begun) + (last.end is None) :]
    for partition in partitions:
        start = last.end if last is not None and partition == begun else None
        left = outline.counts[partition]
        for boundary in source.boundaries(partition, outline.pieces(partition), start):
            yield ChunkRecord(migration, index, partition, start, boundary.key, expected=boundary.points)
            index, start, left = index + 1, boundary.key, left - boundary.points
        yield ChunkRecord(migration, index, partition, start, None, expected=max(0, left))
        index += 1
