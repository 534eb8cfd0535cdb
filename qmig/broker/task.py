"""Arguments of tasks, and how Flower displays a task. A task is JSON and holds no secret in the clear."""

from collections.abc import Mapping
from typing import Annotated, Any, Self

import msgspec

from qmig.errors import TerminalError
from qmig.formatting import key_range, one_line, shorten
from qmig.ledger.owner import OwnerText
from qmig.ledger.records import ChunkRecord, MigrationRecord
from qmig.sources.registry import partition_title

#: Version of the arguments, raised when a field changes. It is part of the queue's name, so a worker gets no task of
#: another version; it would refuse it.
TASK_VERSION = 5
#: Name of the task that copies or verifies one chunk.
MIGRATE_CHUNK = "migrate_chunk"
#: Name of the task that supervises a migration.
SUPERVISE_MIGRATION = "supervise_migration"
#: How the name of every queue begins.
QUEUE = "qmig"


class TaskArguments(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of the arguments of qmig's tasks."""

    def to_kwargs(self) -> dict[str, Any]:
        """The keyword arguments that Celery sends."""
        return {"version": TASK_VERSION, **msgspec.to_builtins(self)}

    @classmethod
    def from_kwargs(cls, kwargs: Mapping[str, Any]) -> Self:
        """Read the keyword arguments of a task; TerminalError if they are malformed or of another version of qmig."""
        fields = dict(kwargs)
        version = fields.pop("version", None)
        if version != TASK_VERSION or isinstance(version, bool | float):
            raise TerminalError(
                f"a task of version {shorten(version)} was refused: this worker knows version {TASK_VERSION}"
            )
        try:
            return msgspec.convert(fields, cls)
        except (ValueError, RecursionError) as error:
            raise TerminalError(f"a malformed task was refused: {one_line(error)}") from None


class MigrationTask(TaskArguments, frozen=True):
    """Supervise one migration."""

    #: Id of the migration's record.
    migration: str
    #: The migration's `AccessGrant` as text.
    access: str


class ChunkTask(TaskArguments, frozen=True):
    """Copy or verify one chunk."""

    #: The task that supervises the chunk's migration.
    migration_task: MigrationTask
    #: The run that the chunk was queued for; in a later one the task does nothing.
    run: str
    #: Index of the chunk.
    chunk: Annotated[int, msgspec.Meta(ge=0)]
    #: The owner whose lease has expired, and its last heartbeat; None for a chunk without an owner.
    abandoned: tuple[OwnerText, int] | None = None


def chunk_title(record: MigrationRecord, chunk: ChunkRecord) -> str:
    """Title of a chunk: its number, the number of chunks, and its range."""
    return f"chunk {chunk.index + 1:,}/{record.chunks:,}{chunk_range(record, chunk)}"


def chunk_range(record: MigrationRecord, chunk: ChunkRecord) -> str:
    """The chunk's partition, if the source has any, and its range of keys."""
    partition = ""
    if chunk.partition is not None:
        # A shard key is JSON; a title shows it without the quotes.
        title = partition_title(record.definition, chunk.partition.strip('"'))
        partition = f" · {title}"
    return f"{partition} · ids {key_range(chunk.start, chunk.end)}"


def task_repr(record: MigrationRecord, chunk: ChunkRecord) -> dict[str, str]:
    """Representations of a task's arguments for Flower."""
    return {"argsrepr": record.title, "kwargsrepr": chunk_title(record, chunk)}


def progress_text(chunk: ChunkRecord, points_before: int, seconds: float) -> str:
    """Progress of a running chunk, for Flower; the rate is that of the points since `points_before`."""
    rate = (chunk.acknowledged - points_before) / seconds if seconds > 0 else 0.0
    share = f"{min(100, 100 * chunk.acknowledged // chunk.expected)} %  " if chunk.expected else ""
    waiting = f"  waiting: {chunk.waiting}" if chunk.waiting else ""
    return f"{share}{chunk.acknowledged:,}/~{chunk.expected:,} points  {rate:,.0f}/s{waiting}"


def result_text(chunk: ChunkRecord) -> str:
    """Result of a finished chunk, for Flower."""
    found = chunk.findings.text if chunk.findings is not None else ""
    amount = f"{chunk.acknowledged:,} points, {chunk.seconds:.1f} s, {chunk.bytes / 1e6:,.1f} MB"
    return f"{amount}: {found}" if found else amount
