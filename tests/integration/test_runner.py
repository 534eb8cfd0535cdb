"""A worker runs a task in this process, between a source, a target and a ledger of its own."""

import uuid
from collections.abc import Iterator

import pytest

from qmig.broker.access import AccessGrant
from qmig.broker.fleet import Fleet
from qmig.broker.task import ChunkTask, MigrationTask
from qmig.embedded.redis import EmbeddedRedis
from qmig.errors import TerminalError
from qmig.jobs.batch_size import BatchSize
from qmig.jobs.runner import Worker
from qmig.jobs.session import Session
from qmig.ledger.ledger import Ledger
from qmig.ledger.records import ChunkRecord, MigrationRecord, State
from qmig.migration import Credentials, Migration, Options, SourceSpec, TargetSpec
from tests.support.collections import contents, create, dense_params, fill, simple_points
from tests.support.ends import Ends
from tests.support.waiting import until

POINTS = 200


@pytest.fixture
def migration(ends: Ends) -> Migration:
    create(ends.source, ends.source_name, dense_params())
    create(ends.target, ends.target_name, dense_params())
    fill(ends.source, ends.source_name, simple_points(POINTS))
    return Migration(
        SourceSpec("qdrant", ends.source.endpoint, ends.source_name),
        TargetSpec(ends.target.endpoint, ends.target_name, ends.ledger),
        Options(batch_size=20, retry_for=10.0),
    )


@pytest.fixture
def ledger(ends: Ends, migration: Migration) -> Ledger:
    """Of the migration, whose only chunk waits for a worker."""
    ledger = Ledger(ends.target, ends.ledger)
    ledger.create()
    ledger.save_migration(
        MigrationRecord(migration.id, migration, run=uuid.uuid4().hex, planned=True, chunks=1, expected=POINTS)
    )
    ledger.save_chunks([ChunkRecord(migration.id, 0, None, None, None, expected=POINTS)])
    return ledger


@pytest.fixture
def task(migration: Migration) -> ChunkTask:
    access = AccessGrant.of(migration, Credentials()).to_text()
    return ChunkTask(migration_task=MigrationTask(migration=migration.id, access=access), chunk=0)


@pytest.fixture
def worker(redis_server: EmbeddedRedis) -> Iterator[Worker]:
    with Fleet(redis_server.url) as fleet:
        yield Worker(lambda: fleet)


def ignore(_: str) -> None:
    """Take a report of progress."""


def chunk_in(ledger: Ledger, task: ChunkTask) -> ChunkRecord:
    (chunk,) = ledger.chunks(task.migration_task.migration, [0])
    return chunk


def test_a_worker_copies_its_chunk(ends: Ends, ledger: Ledger, task: ChunkTask, worker: Worker) -> None:
    assert worker.run_chunk(task, ignore).startswith(f"{POINTS} points, ")
    chunk = chunk_in(ledger, task)
    assert (chunk.state, chunk.read, chunk.acknowledged) == (State.DONE, POINTS, POINTS)
    assert contents(ends.target, ends.target_name) == contents(ends.source, ends.source_name)


def test_a_chunk_of_which_a_batch_got_lost_fails(
    ledger: Ledger, task: ChunkTask, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without_every_third(_: BatchSize, points: list[bytes]) -> Iterator[list[bytes]]:
        yield points[::3] + points[1::3]

    monkeypatch.setattr(BatchSize, "split", without_every_third)
    with pytest.raises(TerminalError, match=f"{POINTS} points read, .* the counts do not match"):
        worker.run_chunk(task, ignore)
    chunk = chunk_in(ledger, task)
    assert chunk.state == State.FAILED
    assert chunk.error is not None
    assert "the counts do not match" in chunk.error


def test_heartbeats_are_sent_while_a_worker_connects(
    ledger: Ledger, task: ChunkTask, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that hangs answers, or fails, only after longer than a lease."""
    heartbeats: list[int] = []
    connect = Session.connect

    def connect_after_two_heartbeats(session: Session) -> None:
        before = chunk_in(ledger, task).heartbeat
        until(lambda: chunk_in(ledger, task).heartbeat >= before + 2, "two heartbeats")
        heartbeats.append(chunk_in(ledger, task).heartbeat - before)
        connect(session)

    monkeypatch.setattr(Session, "connect", connect_after_two_heartbeats)
    worker.run_chunk(task, ignore)
    assert len(heartbeats) == 1
    assert chunk_in(ledger, task).state == State.DONE
