"""What `--dry-run` prints: both ends, the differences, the indexes and the chunks."""

from collections.abc import Iterable

from qmig.coordinator.plan import cut, plan_size
from qmig.coordinator.preflight import PreflightResult, RunOptions
from qmig.ledger.records import ChunkRecord, MigrationRecord, State
from qmig.migration import Migration
from qmig.qdrant import messages as api
from qmig.qdrant.enum_names import enum_name
from qmig.qdrant.payload_indexes import index_type_name
from qmig.qdrant.schema_diff import Vectors
from qmig.sources.registry import partition_title

SHOWN_CHUNKS = 10


def describe_dry_run(migration: Migration, survey: PreflightResult, run_options: RunOptions) -> str:
    """What would be done; nothing has been written."""
    source, target = migration.source, migration.target
    if survey.target_info is None:
        fate = "would be created"
    else:
        fate = f"exists with {survey.target_info.points_count:,} points"
    lines = [
        f"source  {source.endpoint.url}  {source.collection!r}  {survey.versions[0]}",
        f"        {survey.source_info.points_count:,} points; {describe_vectors(survey.source_info)}",
        f"target  {target.endpoint.url}  {target.collection!r}  {survey.versions[1]}; {fate}",
    ]
    lines += survey.source.describe_mapping()
    if survey.shard_keys:
        lines.append(f"shard keys  {', '.join(repr(placement.key) for placement in survey.shard_keys)}")
    indexes = ", ".join(
        f"{name} ({index_type_name(info.data_type)})" for name, info in survey.missing_indexes.items()
    )
    lines.append(f"payload indexes to create  {indexes or 'none'}")
    record = survey.record
    if record is not None:
        lines.append(f"ledger  {target.ledger!r} has this migration, {record.state}; {_fate(record, run_options)}")
    chunks: Iterable[ChunkRecord]
    if record is not None and record.planned and not run_options.restart:
        lines.append(f"chunks  {record.chunks:,} of about {record.chunk_size:,} points, planned already")
        chunks = survey.ledger.chunks(record.migration, range(min(record.chunks, SHOWN_CHUNKS + 1)))
    else:
        plan = plan_size(survey.source, run_options.chunk_size)
        lines.append(f"chunks  about {sum(map(plan.pieces, plan.counts)):,} of about {plan.chunk_size:,} points")
        chunks = cut(survey.source, plan, migration.id)
    # No more is cut than is shown: of string keys all would have to be read.
    for number, chunk in enumerate(chunks):
        if number == SHOWN_CHUNKS:
            lines.append("  …")
            break
        partition = f"{partition_title(migration, chunk.partition)}  " if chunk.partition is not None else ""
        state = f"  {chunk.state}" if chunk.state != State.PENDING else ""
        lines.append(
            f"  {chunk.index + 1:>5}  {partition}[{chunk.start or '…'}, {chunk.end or '…'})"
            f"  ~{chunk.expected:,} points{state}"
        )
    lines.append("nothing was written")
    return "\n".join(lines)


def _fate(record: MigrationRecord, run_options: RunOptions) -> str:
    """What the command would do with a migration that the ledger has."""
    if run_options.restart:
        return "it would be forgotten, and begin again"
    if record.state == State.DONE:
        return "its books would be checked once more, and nothing copied"
    return "it would go on from there"


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
