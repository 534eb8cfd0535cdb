"""Reconcile the counts at a migration's end: points read, points acknowledged, and points at both ends now."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import pairwise

from qmig.ledger.records import ChunkRecord, MigrationRecord, Reconciliation
from qmig.migration import Migration, Routing
from qmig.qdrant.reader import CollectionReader
from qmig.sources.base import Source
from qmig.sources.registry import partition_title

#: Key ranges that a message names; further ones are counted.
MAX_RANGES = 10

# Points by partition of the source; None is the whole collection.
Counts = dict[str | None, int]


def reconcile(
    record: MigrationRecord,
    chunks: Sequence[ChunkRecord],
    source: Source,
    target: CollectionReader,
    rejected_ids: Callable[[ChunkRecord], set[str]],
) -> Reconciliation:
    """Compare the chunks' counts with those of both ends, and the ids where points seem to be missing in the target.

    `rejected_ids` are the ids of a chunk's points that could not be copied.
    """
    migration = record.definition
    read = _sum_by_partition(chunks, lambda chunk: chunk.acknowledged + chunk.rejected)
    acknowledged = _sum_by_partition(chunks, lambda chunk: chunk.acknowledged)
    result = Reconciliation(
        read=sum(read.values()),
        rejected=sum(chunk.rejected for chunk in chunks),
        target_before=sum(record.before.values()),
        errors=[*holes(chunks), *_mismatches(chunks)],
    )
    _compare_source(result, read, chunks, source, migration)
    expected, actual = _count_target(record, acknowledged, target, migration.routing)
    result.target_now = sum(actual.values())
    missing = {partition for partition in expected if actual[partition] < expected[partition]}
    if missing:
        affected = [chunk for chunk in chunks if chunk.partition in missing or None in missing]
        result.errors += _missing_ids(affected, source, target, migration, rejected_ids)
    if missing and not result.errors:
        points = sum(expected[partition] - actual[partition] for partition in missing)
        _explain_missing(result, points, sum(expected.values()), source, migration.routing)
    if surplus := sum(max(0, actual[partition] - expected[partition]) for partition in expected):
        result.notices.append(
            f"the target holds {result.target_now:,} points, {surplus:,} more than it had before plus those "
            "that were copied: something else writes to it"
        )
    return result


def holes(chunks: Sequence[ChunkRecord]) -> list[str]:
    """Errors for keys that belong to no chunk of a plan; none in a sound ledger."""
    by_partition: defaultdict[str | None, list[ChunkRecord]] = defaultdict(list)
    for chunk in chunks:
        by_partition[chunk.partition].append(chunk)
    errors = []
    for of_partition in by_partition.values():
        first, last = of_partition[0], of_partition[-1]
        if first.start is not None or last.end is not None:
            errors.append(
                f"chunks {first.index + 1} to {last.index + 1} do not cover all keys: the first start and the last "
                "end must be open"
            )
        errors += [
            f"chunks {chunk.index + 1} and {following.index + 1} do not meet: one must start where the other ends"
            for chunk, following in pairwise(of_partition)
            if chunk.end is None or chunk.end != following.start
        ]
    return errors


def _mismatches(chunks: Sequence[ChunkRecord]) -> list[str]:
    """Errors for chunks with points that are neither acknowledged nor rejected."""
    return [
        f"chunk {chunk.index + 1}: {chunk.read:,} points read, {chunk.acknowledged:,} acknowledged, "
        f"{chunk.rejected:,} rejected"
        for chunk in chunks
        if chunk.read != chunk.acknowledged + chunk.rejected
    ]


def _sum_by_partition(chunks: Sequence[ChunkRecord], points: Callable[[ChunkRecord], int]) -> Counts:
    sums: defaultdict[str | None, int] = defaultdict(int)
    for chunk in chunks:
        sums[chunk.partition] += points(chunk)
    return dict(sums)


# The source


def _compare_source(
    result: Reconciliation, read: Counts, chunks: Sequence[ChunkRecord], source: Source, migration: Migration
) -> None:
    """Count the source again: note rows that no query returns, and whether the source has changed."""
    counted = {partition: source.count(partition, exact=True) for partition in source.partitions()}
    result.source_now = sum(counted.values())
    readable = dict(counted)
    unreadable: list[str] = []
    changed: list[str] = []
    for partition in counted:
        of_partition = [chunk for chunk in chunks if chunk.partition == partition]
        ranges = [(chunk.start, chunk.end) for chunk in of_partition]
        counts = source.count_ranges(partition, ranges, [chunk.read for chunk in of_partition])
        if counts is None or not of_partition:
            continue
        readable[partition] = sum(count.readable for count in counts)
        for chunk, count in zip(of_partition, counts, strict=True):
            title = _range_title(chunk, migration)
            if count.unreadable:
                unreadable.append(f"{count.unreadable:,} in {title}")
            if count.readable != chunk.read:
                changed.append(f"{chunk.read:,} read and {count.readable:,} now in {title}")
    result.unreadable = _first_ranges(unreadable)
    if changed or readable != {**dict.fromkeys(readable, 0), **read}:
        ranges_now = f" ({'; '.join(_first_ranges(changed))})" if changed else ""
        result.notices.append(
            f"the source was written to during the migration: {result.read:,} points were read, it holds "
            f"{result.source_now:,} now{ranges_now}; points that were added or changed behind an offset are not in "
            "the target"
        )


# The target


def _count_target(
    record: MigrationRecord, acknowledged: Counts, target: CollectionReader, routing: Routing
) -> tuple[Counts, Counts]:
    """The expected and the actual number of points in the target, by shard key if the points keep theirs."""
    if routing == Routing() and set(acknowledged) <= set(target.partitions()):
        expected = {
            partition: record.before.get(partition or "", 0) + points for partition, points in acknowledged.items()
        }
    else:
        expected = {None: sum(record.before.values()) + sum(acknowledged.values())}
    return expected, {partition: target.count(partition, exact=True) for partition in expected}


def _missing_ids(
    chunks: Sequence[ChunkRecord],
    source: Source,
    target: CollectionReader,
    migration: Migration,
    rejected_ids: Callable[[ChunkRecord], set[str]],
) -> list[str]:
    """An error that names the ranges in which ids of the source are missing in the target; none if all are there."""
    shard_keys = set(target.partitions())
    ranges: list[str] = []
    total = 0
    for chunk in chunks:
        shard_key = chunk.partition if chunk.partition in shard_keys else None
        ids = source.point_ids(chunk.partition, chunk.start, chunk.end)
        missing = ids - target.present_ids(ids, shard_key)
        if chunk.rejected:
            missing -= rejected_ids(chunk)
        if missing:
            total += len(missing)
            ranges.append(f"{len(missing):,} in {_range_title(chunk, migration)}")
    if not total:
        return []
    return [f"missing in the target: {total:,} of the source's points: {'; '.join(_first_ranges(ranges))}"]


def _explain_missing(result: Reconciliation, missing: int, expected: int, source: Source, routing: Routing) -> None:
    """Say why the target has fewer points than expected although it has every id of the source."""
    if routing.shard_key_field is not None and source.count_duplicate_ids():
        result.errors.append(
            f"{missing:,} points are not in the target: the source repeats ids under several shard keys, and the "
            f"payload field {routing.shard_key_field!r} sent some of the repeats to one shard key"
        )
    else:
        result.notices.append(
            f"{missing:,} points fewer than {expected:,} are in the target, yet every id of the source is there: "
            "they replaced points with the same ids, or were deleted from the source"
        )


# Key ranges in messages


def _first_ranges(ranges: list[str]) -> list[str]:
    left = len(ranges) - MAX_RANGES
    return ranges if left <= 0 else [*ranges[:MAX_RANGES], f"and {left:,} more ranges"]


def _range_title(chunk: ChunkRecord, migration: Migration) -> str:
    of_partition = f" of {partition_title(migration, chunk.partition)}" if chunk.partition is not None else ""
    start, end = ("…" if key is None else key for key in (chunk.start, chunk.end))
    return f"[{start}, {end}){of_partition}"
