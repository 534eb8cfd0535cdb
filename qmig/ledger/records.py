"""What the ledger holds: one record a migration and one a chunk; docs/ledger.md explains every field."""

import uuid
from dataclasses import dataclass, field
from typing import Any

# Written into every migration's record; a ledger with a higher one was made by a newer qmig.
LEDGER_VERSION = 1
NOBODY = ""
# The index of a migration's plan: a record like a chunk's, held by whoever cuts the source.
PLAN = -1


class JobKind:
    """What is done with the chunks of a record."""

    COPY = "copy"
    VERIFY = "verify"


class RangeOf:
    """Whose keys the range of a chunk is of."""

    SOURCE = "source"
    TARGET = "target"


class State:
    """States of a chunk, and of a migration."""

    PREPARING = "preparing"
    PENDING = "pending"
    RUNNING = "running"
    PAUSED = "paused"
    STOPPED = "stopped"
    CANCELLED = "cancelled"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True)
class ChunkRecord:
    """One chunk: its range `[start, end)` within a part of the source, and how far it is.

    Keys are texts (see `qmig.qdrant.keys`), None an open end. `offset` is the next key to read. `beat` counts the
    owner's signs of life, `deaths` the owners in a row that were gone without having moved the offset. `read`,
    `acknowledged` and `rejected` count points, `bytes` those of the upserts; `retry_reasons` the retries by the class
    of what went wrong. A verification reads the keys of one `side` and leaves its `findings`.
    """

    migration: str
    index: int
    partition: str | None
    start: str | None
    end: str | None
    expected: int = 0
    state: str = State.PENDING
    offset: str | None = None
    read: int = 0
    acknowledged: int = 0
    rejected: int = 0
    bytes: int = 0
    owner: str = NOBODY
    heartbeat: int = 0
    claims: int = 0
    lost_owners: int = 0
    retries: int = 0
    retry_reasons: dict[str, int] = field(default_factory=dict)
    waiting: str | None = None
    error: str | None = None
    seconds: float = 0.0
    range_of: str = RangeOf.SOURCE
    findings: dict[str, Any] | None = None

    @property
    def id(self) -> str:
        return chunk_id(self.migration, self.index)

    @property
    def finished(self) -> bool:
        return self.state in (State.DONE, State.FAILED)


@dataclass(frozen=True)
class MigrationRecord:
    """One migration: what it is, its plan's outline, and what has to be put back at its end.

    `definition` is the migration as JSON. `before` holds the target's points by shard key at the start.
    `finish` is the serialized request (base64) that takes the target into its final state. `chunks` are in the
    ledger so far, and all of them once it is `planned`; `expected` are the points that the source counted then.
    `max_rate` is in points a second over the whole fleet. `books` is what the end's checks found, `waiting`
    what they wait for, `error` why the migration failed.

    A verification is a record of its own, with chunks of its own: its `work` is "verify", `of` the migration,
    `checks` what it looks at, and `findings` what it found.
    """

    migration: str
    title: str
    definition: str
    state: str = State.RUNNING
    version: int = LEDGER_VERSION
    job: str = JobKind.COPY
    verifies: str = ""
    planned: bool = False
    chunks: int = 0
    chunk_size: int = 0
    expected: int = 0
    run: str = ""
    max_rate: int | None = None
    created_target: bool = False
    before: dict[str, int] = field(default_factory=dict)
    final_settings: str | None = None
    started: float = 0.0
    finished: float | None = None
    points: int = 0
    reconciliation: dict[str, Any] | None = None
    waiting: str | None = None
    error: str | None = None
    checks: dict[str, Any] | None = None
    findings: dict[str, Any] | None = None


def chunk_id(migration: str, index: int) -> str:
    return str(uuid.uuid5(uuid.UUID(migration), f"chunk/{index}"))


@dataclass
class Reconciliation:
    """What the end's checks found.

    `errors` mean lost points, `withheld` rows that the source counts and gives to nobody, `rejected` points that the
    target refused or that no point can be made of; `notices` are told.
    """

    read: int = 0
    rejected: int = 0
    source_now: int = 0
    target_now: int = 0
    target_before: int = 0
    errors: list[str] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)


ENDED = (State.DONE, State.FAILED, State.STOPPED, State.CANCELLED)
