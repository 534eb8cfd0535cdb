"""What there is to know of a migration, from the ledger alone. Its JSON is the same wherever it is shown."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from qmig.ledger.findings import Findings
from qmig.ledger.owner import Owner
from qmig.ledger.records import ENDED, ChunkRecord, MigrationRecord, State
from qmig.ledger.stalled import WORKERS_LOST
from qmig.monitor.progress import RETRYING, Progress
from qmig.monitor.rates import Rate, worker_of

# Why chunks that no worker has stay where they are, by the migration's state.
WHY_PENDING = {
    State.RUNNING: "until a worker is free",
    State.PAUSED: "the migration is paused",
    State.STOPPED: "the migration is stopped",
    State.CANCELLED: "the migration is cancelled",
    State.FAILED: "the migration has failed",
}


@dataclass(frozen=True)
class EndpointStatus:
    """One end of a migration."""

    url: str
    collection: str


@dataclass(frozen=True)
class ChunkStatus:
    """One chunk. `chunk` counts from 0; `points_per_second` is over its whole time at work, None before there is one.

    `host` and `process` name the worker that has it, `partition` is the shard key or partition, `start` and `end` the
    range of keys, None an open end.
    """

    chunk: int
    state: str
    partition: str | None
    start: str | None
    end: str | None
    points: int
    expected_points: int
    rejected_points: int
    bytes: int
    seconds: float
    points_per_second: float | None
    claims: int
    retries: int
    retry_reasons: dict[str, int]
    host: str | None
    process: int | None
    waiting: str | None
    error: str | None

    @classmethod
    def of(cls, chunk: ChunkRecord) -> "ChunkStatus":
        owner = Owner.parse(chunk.owner) if chunk.owner else None
        return cls(
            chunk=chunk.index,
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
    """A worker at this migration, the chunk that it has, its rate, and its part of the workers' rates, 0 to 1."""

    host: str
    process: int
    points_per_second: float | None
    share: float | None
    chunk: ChunkStatus


@dataclass(frozen=True)
class Waiting:
    """So many chunks wait, and why."""

    chunks: int
    why: str


@dataclass(frozen=True)
class MigrationStatus:
    """One migration, or one verification of the migration `of`.

    Times are seconds since 1970. Rates are over the last `rate_seconds`, a minute at most, that whoever tells this
    has watched; they are None unless it runs, and `eta_seconds` is None before there is one. `waiting` is what the
    migration as a whole waits for, `findings` what a verification found. `chunk_map` has a letter a chunk, see
    `qmig.monitor.progress.LETTERS`. `problem` says why the chunks could not be read.
    """

    id: str
    title: str
    job: str
    verifies: str | None
    source: EndpointStatus
    target: EndpointStatus
    state: State
    points: int
    expected_points: int
    rejected_points: int
    share: float
    bytes: int
    points_per_second: float | None
    bytes_per_second: float | None
    rate_seconds: float
    eta_seconds: float | None
    seconds_since_progress: float
    max_rate: int | None
    started: float
    finished: float | None
    waiting: str | None
    error: str | None
    findings: Findings | None
    planned: bool
    chunks: int
    chunk_states: dict[str, int]
    workers: list[WorkerStatus]
    waiting_chunks: list[Waiting]
    slowest_chunks: list[ChunkStatus]
    failed_chunks: list[ChunkStatus]
    retries: int
    retry_reasons: dict[str, int]
    chunk_map: str
    problem: str | None = None

    @property
    def has_ended(self) -> bool:
        """Whether nothing more happens by itself; a cancelled one ends once its target's settings are back."""
        return self.state in ENDED and (self.state != State.CANCELLED or self.finished is not None)

    @classmethod
    def of_record(
        cls,
        record: MigrationRecord,
        progress: Progress,
        rate: Rate,
        worker_rates: Mapping[str, float],
        problem: str | None = None,
        gone: Sequence[ChunkRecord] = (),
    ) -> "MigrationStatus":
        """`rate` is what was seen of the migration's points, `worker_rates` what of that its workers copied.

        `gone` are the running chunks whose workers are gone.
        """
        migration = record.definition
        running = record.state == State.RUNNING
        # While the books are checked at the end no point is to come.
        copying = running and not progress.all_finished
        points, size = rate.per_second if running else (None, None)
        left = record.expected - progress.points
        return cls(
            id=record.migration,
            title=record.title,
            job=record.job,
            verifies=record.verifies or None,
            source=EndpointStatus(migration.source.endpoint.url, migration.source.collection),
            target=EndpointStatus(migration.target.endpoint.url, migration.target.collection),
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
            finished=record.finished,
            waiting=record.waiting,
            error=record.error,
            findings=record.findings,
            planned=record.planned,
            chunks=record.chunks,
            chunk_states={state: count for state, count in sorted(progress.states.items()) if count},
            workers=_workers([chunk for chunk in progress.running if chunk not in gone], worker_rates),
            waiting_chunks=_waiting(record, progress, gone),
            slowest_chunks=[ChunkStatus.of(chunk) for chunk in progress.slowest],
            failed_chunks=[ChunkStatus.of(chunk) for chunk in progress.failed],
            retries=progress.retries,
            retry_reasons=dict(progress.retry_reasons),
            chunk_map=progress.letters.decode(),
            problem=problem,
        )


def to_json(statuses: MigrationStatus | Sequence[MigrationStatus], indent: int | None = 2) -> str:
    """One migration as a JSON object, several as an array of them; without `indent` in one line."""
    plain: Any = asdict(statuses) if isinstance(statuses, MigrationStatus) else [asdict(one) for one in statuses]
    return json.dumps(plain, indent=indent, ensure_ascii=False)


def _workers(running: list[ChunkRecord], rates: Mapping[str, float]) -> list[WorkerStatus]:
    at_work = {worker_of(chunk): ChunkStatus.of(chunk) for chunk in running}
    together = sum(rates.get(worker, 0.0) for worker in at_work)
    workers = [
        WorkerStatus(
            host=chunk.host or "",
            process=chunk.process or 0,
            points_per_second=rates.get(worker),
            share=rates[worker] / together if worker in rates and together else None,
            chunk=chunk,
        )
        for worker, chunk in at_work.items()
    ]
    return sorted(workers, key=lambda worker: (worker.host, worker.process))


def _waiting(record: MigrationRecord, progress: Progress, gone: Sequence[ChunkRecord]) -> list[Waiting]:
    """Chunks that somebody tries again, by what went wrong, and those whose worker is gone or that nobody has."""
    reasons = Counter(chunk.waiting for chunk in progress.running if chunk.waiting and chunk not in gone)
    waiting = [Waiting(count, why) for why, count in reasons.most_common()]
    if gone:
        waiting.append(Waiting(len(gone), WORKERS_LOST))
    if pending := progress.states[State.PENDING]:
        waiting.append(Waiting(pending, WHY_PENDING.get(record.state, f"the migration is {record.state}")))
    return waiting
