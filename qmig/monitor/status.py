"""The status of a migration, from the ledger alone. Its JSON is the same in every command and in Flower."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from qmig.ledger.findings import Findings
from qmig.ledger.owner import Owner
from qmig.ledger.records import ENDED, ChunkRecord, MigrationRecord, State
from qmig.ledger.stalled import WORKERS_LOST
from qmig.ledger.verdict import Verdict, verdict_on
from qmig.monitor.progress import RETRYING, Progress
from qmig.monitor.rates import Rate, worker_of
from qmig.monitor.waits import waits_of

# Why pending chunks are not copied, by the state of the migration.
REASONS_PENDING = {
    State.RUNNING: "until a worker is free",
    State.PAUSED: "the migration is paused",
    State.STOPPED: "the migration is stopped",
    State.CANCELLED: "the migration is cancelled",
    State.FAILED: "the migration has failed",
}


@dataclass(frozen=True)
class EndpointStatus:
    """The source or the target of a migration."""

    url: str
    collection: str


@dataclass(frozen=True)
class ChunkStatus:
    """One chunk."""

    #: Its place in the plan, from 0.
    index: int
    #: As in the ledger, or "retrying" while its worker waits to try a call again.
    state: str
    #: The shard key or partition that its keys are in; None where the source has none.
    partition: str | None
    #: The first key of its range; None is an open end.
    start: str | None
    #: The key after its range; None is an open end.
    end: str | None
    #: Points that the target has acknowledged.
    points: int
    #: Points that the plan expects in its range.
    expected_points: int
    #: Points that could not be copied.
    rejected_points: int
    #: Bytes of its upserts.
    bytes: int
    #: Seconds for which workers have held it.
    seconds: float
    #: Its average rate over these seconds; None before there are any.
    points_per_second: float | None
    #: How many times a worker has claimed it.
    claims: int
    #: Calls that were retried.
    retries: int
    #: The same by the reason of the failure.
    retry_reasons: dict[str, int]
    #: The host of the worker that holds it.
    host: str | None
    #: The process of that worker.
    process: int | None
    #: What its worker waits for.
    waiting: str | None
    #: Why it failed.
    error: str | None

    @classmethod
    def of(cls, chunk: ChunkRecord) -> "ChunkStatus":
        owner = Owner.parse(chunk.owner) if chunk.owner else None
        return cls(
            index=chunk.index,
            state=RETRYING if chunk.waiting and chunk.state == State.RUNNING else chunk.state,
            partition=chunk.partition,
            start=chunk.start,
            end=chunk.end,
            points=chunk.acknowledged,
            expected_points=chunk.expected,
            rejected_points=chunk.rejected,
            bytes=chunk.bytes,
            seconds=chunk.seconds,
            points_per_second=chunk.acknowledged / chunk.seconds if chunk.seconds else None,
            claims=chunk.claims,
            retries=chunk.retries,
            retry_reasons=chunk.retry_reasons,
            host=None if owner is None else owner.host,
            process=None if owner is None else owner.pid,
            waiting=chunk.waiting,
            error=chunk.error,
        )


@dataclass(frozen=True)
class WorkerStatus:
    """A worker that holds a chunk of the migration."""

    host: str
    process: int
    #: Its rate over the last minute; None before there is one.
    points_per_second: float | None
    #: Its part of the rates of all these workers, 0 to 1.
    share: float | None
    #: The chunk that it holds.
    chunk: ChunkStatus


@dataclass(frozen=True)
class Waiting:
    """Chunks that wait for the same reason, or for the same server."""

    #: The number of them.
    chunks: int
    reason: str
    #: Seconds for which the first of them has waited for a server; None for another reason.
    seconds: float | None = None


@dataclass(frozen=True)
class MigrationStatus:
    """One migration, or one verification. Times are seconds since 1970."""

    id: str
    title: str
    #: "copy" or "verify".
    job: str
    #: The id of the migration that a verification compares.
    verifies: str | None
    source: EndpointStatus
    target: EndpointStatus
    state: State
    #: Points that the target has acknowledged, or that a verification has compared.
    points: int
    #: Points that the plan expects.
    expected_points: int
    #: Points that could not be copied.
    rejected_points: int
    #: The part that is done, 0 to 1.
    share: float
    #: Bytes of the upserts.
    bytes: int
    #: The rate, as far as it was watched; None unless the migration is running.
    points_per_second: float | None
    bytes_per_second: float | None
    #: Seconds that the rate covers, 60 at most.
    rate_seconds: float
    #: Seconds that are left at this rate; None before there is one.
    eta_seconds: float | None
    #: Seconds for which a running migration has copied no point, as far as it was watched.
    seconds_since_progress: float
    #: The limit in points a second over the whole fleet.
    max_rate: int | None
    started: float
    finished: float | None
    #: What the whole migration waits for.
    waiting: str | None
    #: Why it failed.
    error: str | None
    #: Ids of the source that were compared with the target's so far; None unless they are being compared.
    compared_ids: int | None
    #: What the checks at a migration's end have shown; None before them.
    verdict: Verdict | None
    #: The differences that a verification has found.
    findings: Findings | None
    #: Whether the plan is complete: until then `chunks` and `expected_points` grow.
    planned: bool
    #: Chunks in the plan.
    chunks: int
    #: The same by their state.
    chunk_states: dict[str, int]
    workers: list[WorkerStatus]
    waiting_chunks: list[Waiting]
    slowest_chunks: list[ChunkStatus]
    failed_chunks: list[ChunkStatus]
    #: Calls that were retried.
    retries: int
    #: The same by the reason of the failure.
    retry_reasons: dict[str, int]
    #: One letter for each chunk, see `qmig.monitor.progress.LETTERS`.
    chunk_map: str
    #: Why the chunks could not be read from the ledger.
    problem: str | None = None

    @property
    def has_ended(self) -> bool:
        """Whether nothing more happens by itself; a cancelled migration still gets the target's final settings."""
        return self.state in ENDED and (self.state != State.CANCELLED or self.finished is not None)

    @classmethod
    def of_record(
        cls,
        record: MigrationRecord,
        progress: Progress,
        rate: Rate,
        worker_rates: Mapping[str, float],
        problem: str | None = None,
        stalled: Sequence[ChunkRecord] = (),
    ) -> "MigrationStatus":
        """`worker_rates` is points a second by `host/process`; `stalled` are the running chunks without a worker."""
        migration = record.definition
        running = record.state == State.RUNNING
        # While the counts are reconciled at the end, no more points are copied.
        copying = running and not progress.all_finished
        points, size = rate.per_second if running else (None, None)
        left = record.expected - progress.points
        return cls(
            id=record.migration,
            title=record.title,
            job=record.job,
            verifies=record.verifies or None,
            source=EndpointStatus(migration.source.endpoint.url, migration.source.given),
            target=EndpointStatus(migration.target.endpoint.url, migration.target.given),
            state=record.state,
            points=progress.points,
            expected_points=record.expected,
            rejected_points=progress.rejected,
            share=progress.share if record.planned else min(0.999, progress.share),
            bytes=progress.bytes,
            points_per_second=points,
            bytes_per_second=size,
            rate_seconds=rate.seconds if running else 0.0,
            eta_seconds=left / points if points and left > 0 else None,
            seconds_since_progress=rate.seconds_since_progress if copying else 0.0,
            max_rate=record.max_rate,
            started=record.started,
            finished=record.finished if record.state in ENDED else None,
            waiting=record.waiting,
            error=record.error,
            compared_ids=record.comparison.ids_so_far if record.comparison is not None else None,
            verdict=verdict_on(record),
            findings=record.findings,
            planned=record.planned,
            chunks=record.chunks,
            chunk_states={state: count for state, count in sorted(progress.states.items()) if count},
            workers=_workers([chunk for chunk in progress.running if chunk not in stalled], worker_rates),
            waiting_chunks=_waiting(record, progress, stalled),
            slowest_chunks=[ChunkStatus.of(chunk) for chunk in progress.slowest],
            failed_chunks=[ChunkStatus.of(chunk) for chunk in progress.failed],
            retries=progress.retries,
            retry_reasons=dict(progress.retry_reasons),
            chunk_map=progress.letters.decode(),
            problem=problem,
        )


def to_json(statuses: MigrationStatus | Sequence[MigrationStatus], indent: int | None = 2) -> str:
    """One migration as a JSON object, several as an array; without `indent` on one line."""
    plain: Any = asdict(statuses) if isinstance(statuses, MigrationStatus) else [asdict(one) for one in statuses]
    return json.dumps(plain, indent=indent, ensure_ascii=False)


def _workers(running: list[ChunkRecord], rates: Mapping[str, float]) -> list[WorkerStatus]:
    holders = {worker_of(chunk): ChunkStatus.of(chunk) for chunk in running}
    together = sum(rates.get(worker, 0.0) for worker in holders)
    workers = [
        WorkerStatus(
            host=chunk.host or "",
            process=chunk.process or 0,
            points_per_second=rates.get(worker),
            share=rates[worker] / together if worker in rates and together else None,
            chunk=chunk,
        )
        for worker, chunk in holders.items()
    ]
    return sorted(workers, key=lambda worker: (worker.host, worker.process))


def _waiting(record: MigrationRecord, progress: Progress, stalled: Sequence[ChunkRecord]) -> list[Waiting]:
    """Chunks whose worker tries a call again, by the server; stalled chunks; chunks that no worker has claimed."""
    waits = waits_of(chunk for chunk in progress.running if chunk not in stalled)
    waiting = [Waiting(wait.chunks, wait.reason, wait.seconds) for wait in waits]
    if stalled:
        waiting.append(Waiting(len(stalled), WORKERS_LOST))
    if pending := progress.states[State.PENDING]:
        reason = REASONS_PENDING.get(record.state, f"the migration is {record.state}")
        waiting.append(Waiting(pending, reason))
    return waiting
