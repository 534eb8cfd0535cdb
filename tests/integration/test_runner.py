"""A worker runs a task in this process, between a source, a target and a ledger of its own."""

from collections.abc import Iterator

import msgspec
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
from qmig.ledger.records import ChunkRecord, MigrationRecord, RecordKind, State
from qmig.migration import Credentials, Migration, Options, Routing, SourceSpec, TargetSpec
from qmig.qdrant import messages as api
from qmig.qdrant.server import Server
from qmig.qdrant.shard_keys import ShardKeyPlacement, create_shard_key, shard_keys
from tests.support.collections import contents, create, delete, dense_params, fill, simple_points
from tests.support.ends import Ends
from tests.support.waiting import until

POINTS = 200
RUN = "a-run"


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
    ledger.save_migration(MigrationRecord(migration.id, migration, run=RUN, planned=True, chunks=1, expected=POINTS))
    ledger.save_chunks([ChunkRecord(migration.id, 0, None, None, None, expected=POINTS)])
    return ledger


def task_of(migration: Migration) -> ChunkTask:
    access = AccessGrant.of(migration, Credentials()).to_text()
    return ChunkTask(migration_task=MigrationTask(migration=migration.id, access=access), run=RUN, chunk=0)


@pytest.fixture
def task(migration: Migration) -> ChunkTask:
    return task_of(migration)


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


def await_heartbeats(ledger: Ledger, task: ChunkTask) -> None:
    """Take longer than two heartbeats of the chunk's owner."""
    before = chunk_in(ledger, task).heartbeat
    until(lambda: chunk_in(ledger, task).heartbeat >= before + 2, "two heartbeats")


def test_heartbeats_are_sent_while_a_worker_connects(
    ledger: Ledger, task: ChunkTask, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that hangs answers, or fails, only after longer than a lease."""
    connected: list[Session] = []
    connect = Session.connect

    def connect_slowly(session: Session) -> None:
        await_heartbeats(ledger, task)
        connect(session)
        connected.append(session)

    monkeypatch.setattr(Session, "connect", connect_slowly)
    worker.run_chunk(task, ignore)
    assert len(connected) == 1
    assert chunk_in(ledger, task).state == State.DONE


@pytest.mark.usefixtures("custom_sharding")
def test_heartbeats_are_sent_while_a_shard_key_is_created(
    ends: Ends, ledger: Ledger, worker: Worker, migration: Migration, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cluster creates a shard key on all its peers, and they may take their time."""
    delete(ends.target, ends.target_name)
    create(ends.target, ends.target_name, dense_params(), sharding_method=api.Custom)
    routed = msgspec.structs.replace(migration, routing=Routing(shard_key_field="title"))
    record = ledger.migration(migration.id)
    assert record is not None
    assert ledger.change_migration(record, definition=routed)
    ledger.save(RecordKind.CHUNK, [ChunkRecord(migration.id, 0, None, None, "2", expected=2)])
    task = task_of(routed)
    created: list[ShardKeyPlacement] = []

    def create_slowly(server: Server, collection: str, placement: ShardKeyPlacement, retry_for: float | None) -> None:
        await_heartbeats(ledger, task)
        create_shard_key(server, collection, placement, retry_for)
        created.append(placement)

    monkeypatch.setattr("qmig.qdrant.writer.create_shard_key", create_slowly)
    worker.run_chunk(task, ignore)
    assert [placement.key for placement in created] == ["point 0", "point 1"]
    assert chunk_in(ledger, task).acknowledged == 2
    assert shard_keys(ends.target, ends.target_name) == [
        ShardKeyPlacement(key, 1, 1) for key in ("point 0", "point 1")
    ]
