"""The plan: chunks that together cover the source's whole key space, so that nothing can fall between two."""

from dataclasses import dataclass
from itertools import pairwise
from math import ceil

from qmig.ledger import ChunkRecord
from qmig.sources import Source

# A chunk costs some 15 ms of its own; below this size that would show.
SMALLEST_CHUNK = 5_000
# Enough chunks to spread over a fleet and to even out its end …
CHUNKS_OF_A_SMALL_PLAN = 20
LARGEST_OF_A_SMALL_PLAN = 50_000
# … and few enough that queueing and watching them costs nothing.
CHUNKS_OF_A_LARGE_PLAN = 1_000


@dataclass(frozen=True)
class Plan:
    """The chunks, in the order in which they are queued, and the size that each aims at."""

    chunk_size: int
    chunks: list[ChunkRecord]


def default_chunk_size(points: int) -> int:
    """Points a chunk aims at, from the size of the collection."""
    small = min(LARGEST_OF_A_SMALL_PLAN, ceil(points / CHUNKS_OF_A_SMALL_PLAN))
    return max(SMALLEST_CHUNK, small, ceil(points / CHUNKS_OF_A_LARGE_PLAN))


def make_plan(source: Source, migration: str, chunk_size: int | None) -> Plan:
    """Cut every part of the source into chunks; the first begins and the last ends open."""
    counts = {part: source.count(part, exact=False) for part in source.parts()}
    size = chunk_size or default_chunk_size(sum(counts.values()))
    chunks: list[ChunkRecord] = []
    for part, count in counts.items():
        cuts = source.boundaries(part, ceil(count / size))
        edges: list[str | None] = [None, *cuts, None]
        aim = count // (len(cuts) + 1)
        for start, end in pairwise(edges):
            chunks.append(ChunkRecord(migration, len(chunks), part, start, end, aim=aim))
    return Plan(size, chunks)
