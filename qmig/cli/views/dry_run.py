"""The output of `--dry-run`: source, target, differences, payload indexes and chunks."""

from collections.abc import Iterable

from qmig.coordinator.plan import cut, plan_size
from qmig.coordinator.preflight import PreflightResult, RunOptions
from qmig.formatting import key_range
from qmig.ledger.records import ChunkRecord, MigrationRecord, State
from qmig.migration import Migration, SourceSpec, TargetSpec
from qmig.qdrant import messages as api
from qmig.qdrant.enum_names import enum_name
from qmig.qdrant.payload_indexes import index_type_name
from qmig.qdrant.schema_diff import Vectors
from qmig.sources.registry import partition_title

#: Chunks that are listed.
MAX_DRY_RUN_CHUNKS = 10


def describe_dry_run(migration: Migration, preflight: PreflightResult, run_options: RunOptions) -> str:
    """The lines that a dry run prints."""
    source, target = migration.source, migration.target
    if preflight.target_info is None:
        target_state = "would be created"
    else:
        target_state = f"exists with {preflight.target_info.points_count:,} points"
    lines = [
        f"source  {source.endpoint.url}  {_named(source)}  {preflight.versions[0]}",
        f"        {preflight.source_info.points_count:,} points; {describe_vectors(preflight.source_info)}",
        f"target  {target.endpoint.url}  {_named(target)}  {preflight.versions[1]}; {target_state}",
    ]
    lines += preflight.source.describe_mapping()
    if preflight.shard_keys:
        lines.append(f"shard keys  {', '.join(repr(placement.key) for placement in preflight.shard_keys)}")
    indexes = ", ".join(
        f"{name} ({index_type_name(info.data_type)})" for name, info in preflight.missing_indexes.items()
    )
    lines.append(f"payload indexes to create  {indexes or 'none'}")
    record = preflight.record
    if record is not None:
        lines.append(
            f"ledger  {target.ledger!r} has this migration, {record.state}; {_consequence(record, run_options)}"
        )
    chunks: Iterable[ChunkRecord]
    if record is not None and record.planned and not run_options.restart:
        lines.append(f"chunks  {record.chunks:,} of about {record.chunk_size:,} points, already planned")
        chunks = preflight.ledger.chunks(record.migration, range(min(record.chunks, MAX_DRY_RUN_CHUNKS + 1)))
    else:
        size = plan_size(preflight.source, run_options.chunk_size)
        lines.append(f"chunks  about {sum(map(size.chunks, size.counts)):,} of about {size.chunk_size:,} points")
        chunks = cut(preflight.source, size, migration.id)
    # Only the chunks that are listed are cut: with string keys, the whole plan would need all keys to be read.
    for number, chunk in enumerate(chunks):
        if number == MAX_DRY_RUN_CHUNKS:
            lines.append("  …")
            break
        partition = f"{partition_title(migration, chunk.partition)}  " if chunk.partition is not None else ""
        state = f"  {chunk.state}" if chunk.state != State.PENDING else ""
        lines.append(
            f"  {chunk.index + 1:>5}  {partition}{key_range(chunk.start, chunk.end)}"
            f"  ~{chunk.expected:,} points{state}"
        )
    lines.append("nothing was written")
    return "\n".join(lines)


def _named(end: SourceSpec | TargetSpec) -> str:
    return f"{end.collection!r}, by its alias {end.alias!r}," if end.alias else repr(end.collection)


def _consequence(record: MigrationRecord, run_options: RunOptions) -> str:
    """Say what the command would do with a migration that is in the ledger."""
    if run_options.restart:
        return "its plan and offsets would be deleted, and it would begin again"
    if record.state == State.DONE:
        return "the ids of both ends would be compared again, and nothing copied"
    return "it would resume from there"


def describe_vectors(info: api.CollectionInfo) -> str:
    """The names, sizes and distances of a collection's vectors."""
    vectors = Vectors.of(info)
    described = [
        f"{name or 'unnamed'} {params.size}-d {enum_name(api.Distance.DESCRIPTOR, params.distance)}"
        f"{' multi' if params.HasField('multivector_config') else ''}"
        for name, params in sorted(vectors.dense.items())
    ]
    described += [f"{name} sparse" for name in sorted(vectors.sparse)]
    return ", ".join(described) or "no vectors"
