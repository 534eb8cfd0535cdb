"""What a task says, and what it shows of itself in Flower. A task is JSON and holds no secret in the clear."""

from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Self

from qmig.broker.codec import read
from qmig.errors import TerminalError
from qmig.formatting import shorten
from qmig.ledger.findings import Findings
from qmig.ledger.records import ChunkRecord, MigrationRecord
from qmig.migration import Migration
from qmig.sources.registry import partition_title

# Raised when a task's fields change their meaning; a worker refuses what it does not know.
TASK_VERSION = 3
# Digits of a 64-bit number, with a sign.
LONGEST_NUMBER = 20
MIGRATE_CHUNK = "migrate_chunk"
SUPERVISE_MIGRATION = "supervise_migration"
# Where tasks wait for workers that have no secret; those with one have queues of their own.
QUEUE = "qmig"


@dataclass(frozen=True, kw_only=True)
class MigrationTask:
    """See to one migration; `access` is its `AccessGrant` as text."""

    migration: str
    access: str

    def to_kwargs(self) -> dict[str, Any]:
        return {"version": TASK_VERSION, **asdict(self)}

    @classmethod
    def from_kwargs(cls, kwargs: dict[str, Any]) -> Self:
        """TerminalError where the task was made by another version of qmig, or by something else."""
        given = dict(kwargs)
        version = given.pop("version", None)
        if version != TASK_VERSION:
            raise TerminalError(
                f"a task of version {shorten(version)} was refused: this worker knows version {TASK_VERSION}"
            )
        try:
            return read(cls, given)
        except ValueError as error:
            raise TerminalError(f"a malformed task was refused: {error}") from None


@dataclass(frozen=True, kw_only=True)
class ChunkTask(MigrationTask):
    """Copy or verify one chunk. `abandoned` is the owner whose lease was seen to lapse, with its last beat."""

    chunk: int
    abandoned: tuple[str, int] | None = None

    @classmethod
    def from_kwargs(cls, kwargs: dict[str, Any]) -> Self:
        given = dict(kwargs)
        abandoned = given.pop("abandoned", None)
        task = super().from_kwargs(given)
        match abandoned:
            case None:
                return task
            case [str(owner), int(beat)]:
                return replace(task, abandoned=(owner, beat))
        raise TerminalError(f"a malformed task was refused: abandoned is {shorten(abandoned)}")

    @classmethod
    def of(cls, task: MigrationTask, chunk: int, abandoned: tuple[str, int] | None = None) -> "ChunkTask":
        """The task for one chunk of the migration that `task` sees to."""
        return cls(**asdict(task), chunk=chunk, abandoned=abandoned)

    @property
    def of_migration(self) -> MigrationTask:
        """The task that sees to the whole migration."""
        return MigrationTask(**{one.name: getattr(self, one.name) for one in fields(MigrationTask)})


def chunk_title(record: MigrationRecord, chunk: ChunkRecord) -> str:
    """A chunk for a person: which of how many, its part and its range."""
    return f"chunk {chunk.index + 1:,}/{record.chunks:,}{chunk_range(record, chunk)}"


def chunk_range(record: MigrationRecord, chunk: ChunkRecord) -> str:
    """The part of the source, if it has parts, and the range of keys."""
    part = ""
    if chunk.partition is not None:
        # A shard key is JSON; its quotes are not for a title.
        title = partition_title(Migration.from_json(record.definition), chunk.partition.strip('"'))
        part = f" · {title}"
    return f"{part} · ids {_key(chunk.start)}–{_key(chunk.end)}"


def _key(key: str | None) -> str:
    """A key of the source: a number with its digits in groups, an open end as an ellipsis."""
    if key is None:
        return "…"
    is_number = len(key) <= LONGEST_NUMBER and key.isascii() and key.removeprefix("-").isdigit()
    return f"{int(key):,}" if is_number and str(int(key)) == key else key


def task_repr(record: MigrationRecord, chunk: ChunkRecord) -> dict[str, str]:
    """The representations of a task's arguments that Flower shows."""
    return {"argsrepr": record.title, "kwargsrepr": chunk_title(record, chunk)}


def progress_text(chunk: ChunkRecord, points_before: int, seconds: float) -> str:
    """How far a running chunk is, for Flower."""
    rate = (chunk.acknowledged - points_before) / seconds if seconds > 0 else 0.0
    share = f"{min(100, 100 * chunk.acknowledged // chunk.expected)} %  " if chunk.expected else ""
    waiting = f"  waiting: {chunk.waiting}" if chunk.waiting else ""
    return f"{share}{chunk.acknowledged:,}/~{chunk.expected:,} points  {rate:,.0f}/s{waiting}"


def result_text(chunk: ChunkRecord) -> str:
    """What a finished chunk came to, for Flower."""
    found = Findings.from_dict(chunk.findings).text
    amount = f"{chunk.acknowledged:,} points, {chunk.seconds:.1f} s, {chunk.bytes / 1e6:,.1f} MB"
    return f"{amount}: {found}" if found else amount
