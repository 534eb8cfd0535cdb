"""Values that others wrote under qmig's keys on the broker count as lost, are logged, and delay nothing."""

import json
import logging
from collections.abc import Callable, Iterator

import pytest
import redis
from hypothesis import given, settings
from hypothesis import strategies as st

from qmig.broker.fleet import Fleet
from qmig.broker.queues import PLAIN_QUEUE
from qmig.broker.registry import (
    DUE,
    LAST_CHANGES,
    LEDGER_FAILURE,
    LOCK,
    MIGRATIONS,
    QUEUED,
    SUPERVISION_QUEUED,
    WORKERS,
    FleetRegistry,
    WorkerInfo,
)
from qmig.broker.task import MigrationTask
from qmig.embedded.redis import EmbeddedRedis
from qmig.ledger.records import State
from qmig.ledger.stalled import LastChange
from tests.support.ends import Ends
from tests.support.malformed import ANY_JSON, changed, paths
from tests.support.migrations import (
    SLOWLY,
    arrived,
    fill_source,
    finish,
    own_fleet,
    record_of,
    start,
    until_copied,
    workers_on,
)

RUN, MIGRATION = "a-run", "a-migration"
DEEP = "[" * 100_000
SEEN_THUS = LastChange(State.RUNNING, "host/1/2/3/4", 7, 1.5)


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis() as server:
        yield server


@pytest.fixture
def client(server: EmbeddedRedis) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(server.url) as client:
        client.flushall()
        yield client


@pytest.fixture
def board(server: EmbeddedRedis, client: redis.Redis) -> Iterator[FleetRegistry]:  # noqa: ARG001
    board = FleetRegistry(server.url, PLAIN_QUEUE)
    yield board
    board.close()


def of_another_kind(client: redis.Redis, key: str) -> None:
    """Write a list under the key, or a string where qmig has a list."""
    client.delete(key)
    if key.startswith((MIGRATIONS, WORKERS)):
        client.set(key, "garbage")
    else:
        client.rpush(key, "garbage")


STRANGE_CHANGES = [
    "garbage", "\xff\xfe", "", "5", "null", "[1]", DEEP, '{"0": 5}', '{"x": {}}', '{"0": {"state": "running"}}',
    json.dumps({"0": {"state": 1, "owner": "", "heartbeat": 0, "since": 0}}),
    json.dumps({"0": {"state": "running", "owner": "", "heartbeat": "1", "since": 0}}),
    json.dumps({"0": {"state": "running", "owner": "", "heartbeat": 0, "since": "today"}}),
    json.dumps({"0": {"state": "running", "owner": "", "heartbeat": 0, "since": 0, "more": 1}}),
]  # fmt: skip


@pytest.mark.parametrize("garbage", STRANGE_CHANGES, ids=lambda text: text[:20])
def test_last_changes(
    board: FleetRegistry, client: redis.Redis, caplog: pytest.LogCaptureFixture, garbage: str
) -> None:
    client.set(LAST_CHANGES + RUN, garbage.encode("latin-1"))
    with caplog.at_level(logging.WARNING):
        assert board.last_changes(RUN) == {}
        assert board.last_changes(RUN) == {}
    assert [LAST_CHANGES + RUN in message and "\n" not in message for message in caplog.messages] == [True]
    board.save_last_changes(RUN, {3: SEEN_THUS})
    assert board.last_changes(RUN) == {3: SEEN_THUS}


@pytest.mark.parametrize("garbage", ["garbage", "-1", "1.5", "", "\xff", "9" * 5000], ids=lambda text: text[:20])
def test_chunks_that_were_queued(
    board: FleetRegistry, client: redis.Redis, caplog: pytest.LogCaptureFixture, garbage: str
) -> None:
    client.set(QUEUED + RUN, garbage.encode("latin-1"))
    with caplog.at_level(logging.WARNING):
        assert board.queued_chunks(RUN) == 0
    assert len(caplog.messages) == 1
    board.save_queued_chunks(RUN, 5)
    assert board.queued_chunks(RUN) == 5


@pytest.mark.parametrize("garbage", ["garbage", "5", "null", "[1]", '[["version", 3]]', DEEP, "{}"], ids=str)
def test_migrations_and_workers(board: FleetRegistry, client: redis.Redis, garbage: str) -> None:
    task = MigrationTask(migration=MIGRATION, access="{}")
    worker = WorkerInfo("a-worker", "1.0", 3, 2)
    for key in (MIGRATIONS + PLAIN_QUEUE, WORKERS):
        client.hset(key, "theirs", garbage)
    board.register(task)
    board.send_heartbeat(worker)
    assert board.registered() == [task]
    assert [one.name for one in board.workers()] == [worker.name]


NOTED = {
    LAST_CHANGES + RUN: {
        "3": {"state": "running", "owner": "host/1/2/3/4", "heartbeat": 7, "since": 1.5, "queued": True}
    },
    QUEUED + RUN: 5,
    WORKERS: {"name": "a", "version": "1.0", "task_version": 3, "processes": 2, "queue": PLAIN_QUEUE, "seen": 1.5},
    MIGRATIONS + PLAIN_QUEUE: MigrationTask(migration=MIGRATION, access="{}").to_kwargs(),
}


@settings(deadline=None)
@given(data=st.data(), key=st.sampled_from(sorted(NOTED)), value=ANY_JSON)
def test_any_json_on_redis_is_read_or_counts_as_lost(
    server: EmbeddedRedis, data: st.DataObject, key: str, value: object
) -> None:
    noted = NOTED[key]
    written = json.dumps(changed(noted, data.draw(st.sampled_from([(), *paths(noted)])), value))
    with redis.Redis.from_url(server.url) as client:
        client.flushall()
        if key in (WORKERS, MIGRATIONS + PLAIN_QUEUE):
            client.hset(key, "theirs", written)
        else:
            client.set(key, written)
    board, task = FleetRegistry(server.url, PLAIN_QUEUE), MigrationTask(migration=MIGRATION, access="{}")
    board.last_changes(RUN), board.queued_chunks(RUN), board.workers(), board.registered()
    board.save_last_changes(RUN, {3: SEEN_THUS})
    board.save_queued_chunks(RUN, 5)
    board.register(task)
    assert (board.last_changes(RUN), board.queued_chunks(RUN)) == ({3: SEEN_THUS}, 5)
    assert task in board.registered()
    board.close()


def test_a_ledger_failure(board: FleetRegistry, client: redis.Redis) -> None:
    client.set(LEDGER_FAILURE + RUN, b"\xff\xfe")
    assert board.ledger_failure(RUN) is None


CALLS: dict[str, Callable[[FleetRegistry], object]] = {
    LAST_CHANGES + RUN: lambda board: board.last_changes(RUN),
    QUEUED + RUN: lambda board: board.queued_chunks(RUN),
    LEDGER_FAILURE + RUN: lambda board: board.ledger_failure(RUN),
    MIGRATIONS + PLAIN_QUEUE: lambda board: board.register(MigrationTask(migration=MIGRATION, access="{}")),
    WORKERS: lambda board: board.workers(),
}


@pytest.mark.parametrize("key", CALLS)
def test_another_kind_of_value(
    board: FleetRegistry, client: redis.Redis, caplog: pytest.LogCaptureFixture, key: str
) -> None:
    of_another_kind(client, key)
    with caplog.at_level(logging.WARNING):
        assert not CALLS[key](board)
        CALLS[key](board)
    assert [key in message for message in caplog.messages] == [True]


def test_a_key_without_expiry_is_deleted_once(board: FleetRegistry, client: redis.Redis) -> None:
    client.set(DUE + MIGRATION, "garbage")
    client.set(LOCK + MIGRATION, "garbage")
    client.set(SUPERVISION_QUEUED + MIGRATION, "garbage")
    assert not board.claim_supervision(MIGRATION)
    assert board.claim_supervision(MIGRATION)
    assert not board.claim_supervision(MIGRATION)
    assert not board.is_due(MIGRATION, 5.0)
    assert board.is_due(MIGRATION, 5.0)
    assert not board.is_due(MIGRATION, 5.0)
    with board.lock(MIGRATION) as alone:
        assert not alone
    with board.lock(MIGRATION) as alone:
        assert alone
        with FleetRegistry.lock(board, MIGRATION) as another:
            assert not another


def test_one_supervision_waits_for_a_worker(server: EmbeddedRedis, client: redis.Redis) -> None:
    client.flushall()
    task = MigrationTask(migration=MIGRATION, access="{}")
    with Fleet(server.url) as fleet:
        for _ in range(3):
            fleet.enqueue_supervision(task)
        assert fleet.queued() == 1
        fleet.registry.supervision_started(MIGRATION)
        fleet.enqueue_supervision(task)
        assert fleet.queued() == 2


def write_over(client: redis.Redis, run: str, migration: str) -> None:
    """Write garbage under every key that qmig has for this migration."""
    client.set(LAST_CHANGES + run, "garbage")
    client.set(QUEUED + run, "garbage")
    client.set(DUE + migration, "garbage")
    client.set(SUPERVISION_QUEUED + migration, "garbage")
    client.hset(MIGRATIONS + PLAIN_QUEUE, "theirs", "[1]")
    client.hset(WORKERS, "theirs", DEEP)


def test_a_migration_continues_beside_garbage(ends: Ends) -> None:
    fill_source(ends)
    with own_fleet() as (server, workers), redis.Redis.from_url(server.url) as client:
        running = start(ends, *SLOWLY, broker=server.url)
        until_copied(ends, 500)
        record = record_of(ends)
        assert record is not None
        write_over(client, record.run, record.migration)
        # The worker that claims these chunks reads these values.
        workers.kill()
        with workers_on(server.url, 2) as others:
            write_over(client, record.run, record.migration)
            finish(running)
            said = others.read_stderr()
    assert "Traceback" not in said
    assert f"under {LAST_CHANGES}{record.run} that is not qmig's" in said
    assert arrived(ends)
