"""The ledger's records: one for each migration, its plan, and each of its chunks; docs/ledger.md explains them.

`LedgerCollection.parse` refuses a malformed record. Fields that this qmig does not know are ignored, and stay in the
ledger: a newer qmig that adds one raises `LEDGER_VERSION` only where an older one must stop. A definition is
stricter (see `qmig.migration`).
"""

import uuid
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated

import msgspec

from qmig.ledger.fields import Count, MigrationId, Seconds
from qmig.ledger.findings import Checks, Findings
from qmig.ledger.owner import NOBODY, OwnerText
from qmig.ledger.reconciliation import IdComparison, Reconciliation
from qmig.migration import Migration

#: Version of the records' format. A migration with a higher version was written by a newer qmig.
LEDGER_VERSION = 1
#: Index of the plan's record, which has the fields of a chunk; its owner is the coordinator that plans.
PLAN = -1


class RecordKind(StrEnum):
    """The kinds of records in the ledger: the values of the field `record`."""

    MIGRATION = "migration"
    PLAN = "plan"
    CHUNK = "chunk"
    REJECT = "reject"


class JobKind(StrEnum):
    """The jobs on the chunks of a migration's record."""

    COPY = "copy"
    VERIFY = "verify"


class RangeOf(StrEnum):
    """The collection whose keys a chunk's range refers to."""

    SOURCE = "source"
    TARGET = "target"


class State(StrEnum):
    """States of a migration and of a chunk."""

    #: A migration: the target is being prepared.
    PREPARING = "preparing"
    #: A chunk: no worker has it.
    PENDING = "pending"
    RUNNING = "running"
    #: A migration: `qmig resume` continues it.
    PAUSED = "paused"
    #: A migration: its command was interrupted, or a server was away for too long; the same command resumes it.
    STOPPED = "stopped"
    #: A migration: `qmig cancel` ended it.
    CANCELLED = "cancelled"
    DONE = "done"
    FAILED = "failed"


#: States of a migration that no worker acts on.
ENDED = (State.DONE, State.FAILED, State.STOPPED, State.CANCELLED)


@dataclass(frozen=True)
class ChunkRecord:
    """One chunk: a range of keys `[start, end)` in one partition, and its progress.

    Keys are text (see `qmig.qdrant.keys`).
    """

    #: Id of the migration's record.
    migration: MigrationId
    #: Number of the chunk in the plan, from 0; `PLAN` is the plan itself.
    index: Annotated[int, msgspec.Meta(ge=PLAN)]
    #: The partition of the source; None where it has none.
    partition: str | None
    #: First key of the range; None is an open end.
    start: str | None
    #: First key after the range; None is an open end.
    end: str | None
    #: Points that the plan expects in the range.
    expected: Count = 0
    state: State = State.PENDING
    #: The next key to read; everything before it is in the target. None is the range's start.
    offset: str | None = None
    #: Points read from the source.
    read: Count = 0
    #: Points that the target answered `Completed` to.
    acknowledged: Count = 0
    #: Points read that cannot be copied and were skipped.
    rejected: Count = 0
    #: Digest of the ids read, in the order of their keys (see `qmig.qdrant.ids`).
    ids_digest: Count = 0
    #: Bytes of the upserts.
    bytes: Count = 0
    #: The worker that holds the chunk, an `Owner` as text; empty without one.
    owner: OwnerText = NOBODY
    #: Number of the owner's heartbeats.
    heartbeat: Count = 0
    #: Number of times that a worker claimed the chunk.
    claims: Count = 0
    #: Owners in a row that were lost without having moved the offset.
    lost_owners: Count = 0
    #: Calls that were retried.
    retries: Count = 0
    #: Number of retries by the reason of the error.
    retry_reasons: dict[str, Count] = field(default_factory=dict)
    #: The error that the owner is retrying now.
    waiting: str | None = None
    #: Seconds for which the owner has been retrying, by its own clock; 0 while it is not.
    waiting_seconds: Seconds = 0.0
    #: Why the chunk failed.
    error: str | None = None
    #: Time spent on the chunk, over all owners.
    seconds: Seconds = 0.0
    #: The collection that the range refers to.
    range_of: RangeOf = RangeOf.SOURCE
    #: What a verification found in the range.
    findings: Findings | None = None
    #: Number of the planner that wrote the chunk.
    planner: Count = 0
    #: The run in which a worker last claimed the chunk; a failure counts in that run alone.
    run: str = ""

    @property
    def id(self) -> str:
        return chunk_id(self.migration, self.index)

    @property
    def finished(self) -> bool:
        return self.state in (State.DONE, State.FAILED)


@dataclass(frozen=True)
class MigrationRecord:
    """One migration, or the verification of one: a record of its own with chunks of its own."""

    #: The fingerprint of both ends; a verification has an id derived from it.
    migration: MigrationId
    #: Both ends, options and routing.
    definition: Migration
    state: State = State.RUNNING
    #: Version of the record's format.
    version: int = LEDGER_VERSION
    #: What is done with the chunks.
    job: JobKind = JobKind.COPY
    #: Id of the migration that a verification verifies; empty in a migration.
    verifies: str = ""
    #: Whether the plan is complete.
    planned: bool = False
    #: Chunks in the plan so far.
    chunks: Count = 0
    #: Points that a chunk aims at.
    chunk_size: Count = 0
    #: Points that the source counted when the plan was begun.
    expected: Count = 0
    #: Identifies the run: tasks of an earlier run do not count.
    run: str = ""
    #: Points a second that the whole fleet may copy; None is no limit.
    max_rate: Annotated[int, msgspec.Meta(ge=1)] | None = None
    #: Whether the migration created the target collection.
    created_target: bool = False
    #: The target's points by shard key before the first was written.
    before: dict[str, Count] = field(default_factory=dict)
    #: The serialized request, in base64, that takes a created target into its final state.
    final_settings: str | None = None
    #: Vectors, payload indexes and shard keys of the source when the migration was begun, each with its settings.
    source_settings: dict[str, str] = field(default_factory=dict)
    #: When the migration was begun, in seconds since 1970.
    started: Seconds = 0.0
    #: When the migration was first done, in seconds since 1970; a later run that copies nothing does not change it.
    finished: Seconds | None = None
    #: The comparison of ids at the end, while it goes on.
    comparison: IdComparison | None = None
    #: Result of the checks at the end.
    reconciliation: Reconciliation | None = None
    #: The error that the checks at the end are retrying now.
    waiting: str | None = None
    #: Seconds for which the checks at the end have been retried, summed over all workers that did.
    waiting_seconds: Seconds = 0.0
    #: Why the migration failed, or why it was stopped.
    error: str | None = None
    #: The options of a verification.
    checks: Checks | None = None
    #: Points that a verification compared.
    compared: Count = 0
    #: What a verification found in all chunks together.
    findings: Findings | None = None
    #: Number of the planner that may add chunks to the plan; each has a higher number than the one before.
    planner: Count = 0
    #: In a verification: the number of the last planner of the migration that it verifies.
    verified_planner: Count = 0

    @property
    def id(self) -> str:
        return self.migration

    @property
    def is_prepared(self) -> bool:
        """Whether the target was prepared to the end. A migration may be cancelled before that."""
        begins = self.state == State.PREPARING
        # The first run records what identifies the target.
        return not begins and (self.state != State.CANCELLED or bool(self.definition.target.identity))

    @property
    def title(self) -> str:
        """Both collections, for people."""
        return f"verify {self.definition.title}" if self.job == JobKind.VERIFY else self.definition.title


def chunk_id(migration: str, index: int) -> str:
    """Id of a chunk's record."""
    return str(uuid.uuid5(uuid.UUID(migration), f"chunk/{index}"))
