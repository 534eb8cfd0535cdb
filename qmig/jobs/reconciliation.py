"""The books at the end: what was read, what was acknowledged, and what both ends hold now."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import pairwise

from qmig.ledger.records import ChunkRecord, MigrationRecord, Reconciliation
from qmig.migration import Migration, Routing
from qmig.qdrant.reader import CollectionReader
from qmig.sources.base import Source
from qmig.sources.registry import partition_title

# Ranges that a message names; the rest is counted.
SHOWN_RANGES = 10


def reconcile(
    record: MigrationRecord,
    chunks: Sequence[ChunkRecord],
    source: Source,
    target: CollectionReader,
    routing: Routing,
    rejected_ids: Callable[[ChunkRecord], set[str]],
) -> Reconciliation:
    """Compare counts chunk by chunk and end by end; where the target falls short, compare the ids.

    The target's partitions are the shard keys that points were routed to. `rejected_ids` are those of a chunk's
    points that are known not to have arrived.
    """
    definition = Migration.from_json(record.definition)
    books = Reconciliation(errors=holes(chunks))
    _balance_chunks(books, chunks)
    arrived = _sum_by_partition(chunks, lambda chunk: chunk.acknowledged)
    read = _sum_by_partition(chunks, lambda chunk: chunk.acknowledged + chunk.rejected)
    books.read = sum(read.values())
    books.rejected = books.read - sum(arrived.values())
    _balance_source(books, read, chunks, source, definition)
    books.target_before = sum(record.before.values())
    if routing == Routing() and set(read) <= set(target.partitions()):
        expected = {
            partition: record.before.get(partition or "", 0) + points for partition, points in arrived.items()
        }
        actual = {partition: target.count(partition, exact=True) for partition in read}
    else:
        expected = {None: books.target_before + books.read - books.rejected}
        actual = {None: target.count(None, exact=True)}
    books.target_now = sum(actual.values())
    short = {partition for partition in expected if actual[partition] < expected[partition]}
    surplus = sum(max(0, actual[partition] - expected[partition]) for partition in expected)
    if short:
        looked_at = [chunk for chunk in chunks if chunk.partition in short or None in short]
        _compare_ids(books, looked_at, source, target, definition, rejected_ids)
        missing = sum(expected[partition] - actual[partition] for partition in short)
        if not books.errors and routing.shard_key_field is not None and source.count_duplicate_ids():
            books.errors.append(
                f"{missing:,} points are not in the target: the source repeats ids under several shard keys, and the "
                f"payload field {routing.shard_key_field!r} sent some of the repeats to one shard key"
            )
        elif not books.errors:
            books.notices.append(
                f"{missing:,} points fewer than {sum(expected.values()):,} are in the target, yet every id of the "
                "source is there: they replaced points with the same ids, or were deleted from the source"
            )
    if surplus:
        books.notices.append(
            f"the target holds {books.target_now:,} points, {surplus:,} more than it had and was given: something "
            "else writes to it"
        )
    return books


def _balance_chunks(books: Reconciliation, chunks: Sequence[ChunkRecord]) -> None:
    for chunk in chunks:
        if chunk.read != chunk.acknowledged + chunk.rejected:
            books.errors.append(
                f"chunk {chunk.index + 1}: {chunk.read:,} points read, {chunk.acknowledged:,} acknowledged, "
                f"{chunk.rejected:,} rejected"
            )


def _balance_source(
    books: Reconciliation,
    read: dict[str | None, int],
    chunks: Sequence[ChunkRecord],
    source: Source,
    definition: Migration,
) -> None:
    given = {partition: source.count(partition, exact=True) for partition in source.partitions()}
    books.source_now = sum(given.values())
    differing: list[str] = []
    withheld: list[str] = []
    for partition in given:
        of_partition = [chunk for chunk in chunks if chunk.partition == partition]
        ranges = [(chunk.start, chunk.end) for chunk in of_partition]
        range_counts = source.count_ranges(partition, ranges, [chunk.read for chunk in of_partition])
        if range_counts is None or not of_partition:
            continue
        given[partition] = sum(range_count.readable for range_count in range_counts)
        for chunk, range_count in zip(of_partition, range_counts, strict=True):
            if range_count.unreadable:
                withheld.append(f"{range_count.unreadable:,} in {_range(chunk, definition)}")
            if range_count.readable != chunk.read:
                differing.append(
                    f"{chunk.read:,} read and {range_count.readable:,} now in {_range(chunk, definition)}"
                )
    books.unreadable = _first(withheld)
    if differing or given != {**dict.fromkeys(given, 0), **read}:
        ranges_now = f" ({'; '.join(_first(differing))})" if differing else ""
        books.notices.append(
            f"the source was written to meanwhile: {books.read:,} points were read, it holds "
            f"{books.source_now:,} now{ranges_now}; what was added or changed behind the copy is not in the target"
        )


def _sum_by_partition(
    chunks: Sequence[ChunkRecord], points: Callable[[ChunkRecord], int]
) -> defaultdict[str | None, int]:
    sums: defaultdict[str | None, int] = defaultdict(int)
    for chunk in chunks:
        sums[chunk.partition] += points(chunk)
    return sums


def _compare_ids(
    books: Reconciliation,
    chunks: Sequence[ChunkRecord],
    source: Source,
    target: CollectionReader,
    definition: Migration,
    rejected_ids: Callable[[ChunkRecord], set[str]],
) -> None:
    """Name the ranges in which ids of the source are not in the target."""
    target_partitions = set(target.partitions())
    ranges: list[str] = []
    missing = 0
    for chunk in chunks:
        partition = chunk.partition if chunk.partition in target_partitions else None
        ids = source.point_ids(chunk.partition, chunk.start, chunk.end)
        lacking = ids - target.present_ids(ids, partition)
        if chunk.rejected:
            lacking -= rejected_ids(chunk)
        if lacking:
            missing += len(lacking)
            ranges.append(f"{len(lacking):,} in {_range(chunk, definition)}")
    if missing:
        books.errors.append(f"missing in the target: {missing:,} of the source's points: {'; '.join(_first(ranges))}")


def _first(ranges: list[str]) -> list[str]:
    left = len(ranges) - SHOWN_RANGES
    return ranges if left <= 0 else [*ranges[:SHOWN_RANGES], f"and {left:,} more ranges"]


def _range(chunk: ChunkRecord, definition: Migration) -> str:
    of_partition = f" of {partition_title(definition, chunk.partition)}" if chunk.partition is not None else ""
    start, end = ("…" if edge is None else edge for edge in (chunk.start, chunk.end))
    return f"[{start}, {end}){of_partition}"


def holes(chunks: Sequence[ChunkRecord]) -> list[str]:
    """Where the chunks of a plan do not join: nothing in a sound ledger."""
    by_partition: dict[str | None, list[ChunkRecord]] = {}
    for chunk in chunks:
        by_partition.setdefault(chunk.partition, []).append(chunk)
    found = []
    for of_partition in by_partition.values():
        if of_partition[0].start is not None or of_partition[-1].end is not None:
            found.append(
                f"chunks {of_partition[0].index + 1} to {of_partition[-1].index + 1} do not reach "
                "to the ends of the keys"
            )
        found += [
            f"chunks {one.index + 1} and {following.index + 1} do not join"
            for one, following in pairwise(of_partition)
            if one.end is None or one.end != following.start
        ]
    return found
