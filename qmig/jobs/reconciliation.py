"""Reconcile both ends at a migration's end: the compared ids, the counts, and what has changed meanwhile."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import pairwise

from qmig.ledger.reconciliation import IdComparison, Reconciliation
from qmig.ledger.records import ChunkRecord, MigrationRecord
from qmig.migration import Routing
from qmig.qdrant.collection import existing_collection_info
from qmig.qdrant.described import changed_settings, described_settings
from qmig.qdrant.payload_indexes import missing_indexes
from qmig.qdrant.reader import CollectionReader
from qmig.qdrant.schema_diff import differences
from qmig.sources.base import Source
from qmig.sources.registry import partition_title

# Points by partition of the source; None is the whole collection.
Counts = dict[str | None, int]


def reconcile(
    record: MigrationRecord,
    chunks: Sequence[ChunkRecord],
    ids: IdComparison,
    source: Source,
    target: CollectionReader,
    changes: Sequence[str] = (),
) -> Reconciliation:
    """Add the counts of the chunks and of both ends to the compared `ids`; `changes` are those of settings."""
    acknowledged = _sum_by_partition(chunks, lambda chunk: chunk.acknowledged)
    result = Reconciliation(
        read=sum(chunk.read for chunk in chunks),
        rejected=sum(chunk.rejected for chunk in chunks),
        target_before=sum(record.before.values()),
        ids=ids,
        again=record.finished is not None,
        changes=list(changes),
        errors=[*holes(chunks), *_mismatches(chunks)],
    )
    _note_unread(result, record, chunks, source)
    result.source_now = ids.ids + ids.unreadable.points + result.unread
    _note_source_changes(result)
    expected, actual = _count_target(record, acknowledged, target)
    result.target_now = sum(actual.values())
    fewer = sum(max(0, expected[partition] - actual[partition]) for partition in expected)
    result.replaced = _replaced(ids, record, fewer)
    # Only a target without the source's shard keys has replaced points.
    more = {partition: actual[partition] + result.replaced - expected[partition] for partition in expected}
    _note_missing(result, fewer)
    _note_fewer(result, fewer, sum(expected.values()))
    if surplus := sum(max(0, points) for points in more.values()):
        result.notices.append(
            f"the target holds {result.target_now:,} points, {surplus:,} more than it had before plus those "
            "that were copied: something else writes to it"
        )
    changed = set(ids.changed_partitions)
    # An id that is new in the source may be in the target already: from before, or because others wrote it.
    result.unclear = any(
        (changed if partition is None else partition in changed) and (points > 0 or _before(record, partition))
        for partition, points in more.items()
    )
    return result


def settings_changes(record: MigrationRecord, source: Source, target: CollectionReader) -> list[str]:
    """Describe what has changed in the settings of both ends since the migration began; one line each."""
    now = source.describe()
    before = record.source_settings
    changes = changed_settings(before, described_settings(now.info, now.shard_keys)) if before else []
    if changes:
        return [f"at the source, {change}" for change in changes]
    info = existing_collection_info(target.server, target.collection)
    # A target that has its final settings belongs to its user.
    lost = missing_indexes(now.info, info) if record.created_target and record.finished is None else {}
    return [
        *differences(now.info, info),
        *(f"at the target, payload index {field!r} was taken away" for field in lost),
    ]


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


def _note_unread(
    result: Reconciliation, record: MigrationRecord, chunks: Sequence[ChunkRecord], source: Source
) -> None:
    """Count the points in partitions that the source got after it was planned."""
    planned = {chunk.partition for chunk in chunks}
    for partition in source.partitions():
        if partition not in planned:
            result.unread += source.count(partition, exact=True)
            result.unread_partitions.append(partition_title(record.definition, partition))


def _note_source_changes(result: Reconciliation) -> None:
    changed = result.ids.changed
    if changed.points or result.unread:
        ranges = f" ({changed.text})" if changed.points else ""
        result.notices.append(
            f"the source was written to during the migration: {result.read:,} points were read, it holds "
            f"{result.source_now:,} now{ranges}; points that were added or changed behind an offset are not in "
            "the target"
        )


# The target


def _before(record: MigrationRecord, partition: str | None) -> int:
    """The points that the target had before, under this shard key or in all."""
    return sum(record.before.values()) if partition is None else record.before.get(partition, 0)


def _count_target(record: MigrationRecord, acknowledged: Counts, target: CollectionReader) -> tuple[Counts, Counts]:
    """The expected and the actual number of points in the target, by shard key if the points keep theirs."""
    keeps_keys = record.definition.routing == Routing() and set(acknowledged) <= set(target.partitions())
    points = acknowledged if keeps_keys else {None: sum(acknowledged.values())}
    expected = {partition: _before(record, partition) + count for partition, count in points.items()}
    return expected, {partition: target.count(partition, exact=True) for partition in expected}


def _replaced(ids: IdComparison, record: MigrationRecord, fewer: int) -> int:
    """Points that are not in the target because one with the same id came there from another partition.

    A payload field may send points with the same id to different shard keys. Then only the counts tell.
    """
    if record.definition.routing.shard_key_field is None:
        return ids.repeated
    return min(ids.repeated, fewer)


def _note_missing(result: Reconciliation, fewer: int) -> None:
    """Note ids of the source that the target has lost, as an error.

    An id in a chunk that has changed may be new in the source, unless the target itself holds too few points.
    """
    lost, uncopied = result.ids.lost, result.ids.uncopied
    is_lost = lost.points or (uncopied.points and not result.target_before and fewer > result.replaced)
    if is_lost:
        text = "; ".join(tally.text for tally in (lost, uncopied) if tally.points)
        result.errors.append(
            f"missing in the target: {lost.points + uncopied.points:,} of the source's points: {text}"
        )


def _note_fewer(result: Reconciliation, fewer: int, expected: int) -> None:
    """Say why the target has fewer points than expected although it has every id of the source."""
    if fewer > result.replaced and not result.errors and not result.ids.uncopied.points:
        result.notices.append(
            f"{fewer - result.replaced:,} points fewer than {expected:,} are in the target, yet every id of the "
            "source is there: they replaced points with the same ids, or were deleted from the source"
        )
