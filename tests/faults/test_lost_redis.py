"""Whatever Redis loses, and whenever: what the fleet needs is written again by whoever looks."""

import sys
import time
from collections.abc import Callable, Iterator

import pytest
import redis

from qmig.broker.fleet import NORMAL, PRIORITY_SEPARATOR, Fleet
from qmig.broker.queues import PLAIN_QUEUE
from qmig.broker.registry import DUE, LOCK, MIGRATIONS, QUEUED, SUPERVISION_QUEUED, WORKERS
from qmig.embedded.child_process import ChildProcess
from qmig.embedded.redis import EmbeddedRedis
from qmig.ledger.records import State
from tests.support.command import Run
from tests.support.ends import Ends
from tests.support.migrations import (
    LEISURELY,
    SLOWLY,
    arrived,
    chunks_of,
    copied,
    own_fleet,
    record_of,
    until_copied,
    until_state,
)
from tests.support.waiting import until

DAY_MS = 86_400_000
LISTS = (PLAIN_QUEUE, f"{PLAIN_QUEUE}{PRIORITY_SEPARATOR}{NORMAL}")


@pytest.fixture
def paused(filled: Ends, qmig: Run) -> Iterator[tuple[EmbeddedRedis, ChildProcess]]:
    """A fleet with a migration that no command follows, paused in the middle; its workers know it."""
    with own_fleet() as (server, workers):
        left = qmig("qdrant", *filled.arguments, *SLOWLY, "--detach", broker=server.url)
        assert left.returncode == 0, left.stderr
        until_copied(filled, 500)
        assert qmig("pause", *filled.where).returncode == 0
        until(lambda: not [chunk for chunk in chunks_of(filled) if chunk.owner], "the chunks being released")
        # The main process of the workers looks every five seconds.
        time.sleep(6)
        yield server, workers


def lose_everything(server: EmbeddedRedis) -> None:
    with redis.Redis.from_url(server.url) as client:
        client.flushall()


def restart_without_persistence(server: EmbeddedRedis) -> None:
    server.kill()
    server.start()


def lose_the_registration(server: EmbeddedRedis) -> None:
    with redis.Redis.from_url(server.url) as client:
        client.delete(MIGRATIONS + PLAIN_QUEUE)


LOSSES = (lose_everything, restart_without_persistence, lose_the_registration)


@pytest.mark.parametrize("lose", LOSSES)
def test_lost_during_a_pause(
    filled: Ends, paused: tuple[EmbeddedRedis, ChildProcess], qmig: Run, lose: Callable[[EmbeddedRedis], None]
) -> None:
    lose(paused[0])
    assert qmig("resume", *filled.where).returncode == 0
    until_state(filled, State.DONE)
    assert arrived(filled)
    assert "it was registered again" in paused[1].read_stderr()


def test_a_migration_that_ended_is_not_registered_again(filled: Ends, qmig: Run) -> None:
    with own_fleet() as (server, workers), Fleet(server.url) as fleet:
        left = qmig("qdrant", *filled.arguments, *SLOWLY, "--detach", broker=server.url)
        assert left.returncode == 0, left.stderr
        until(fleet.registry.registered, "the migration being registered")
        until_state(filled, State.DONE)
        until(lambda: not fleet.registry.registered(), "the migration being forgotten")
        time.sleep(12)
        assert fleet.registry.registered() == []
        assert "registered again" not in workers.read_stderr()


def test_resume_says_where_no_fleet_knows_the_migration(
    filled: Ends, paused: tuple[EmbeddedRedis, ChildProcess], qmig: Run
) -> None:
    server, workers = paused
    workers.stop()
    lose_everything(server)
    resumed = qmig("resume", *filled.where, broker=server.url)
    assert resumed.returncode == 0
    assert "does not know this migration" in resumed.stderr
    assert resumed.stderr.count("\n") == 1
    server.stop()
    # Resumed already: what is asked here is only who continues it.
    assert qmig("pause", *filled.where).returncode == 0
    resumed = qmig("resume", *filled.where, broker=server.url)
    assert resumed.returncode == 0
    assert "does not answer" in resumed.stderr
    assert resumed.stderr.count("\n") == 1


def test_lost_while_all_workers_are_idle(filled: Ends, qmig: Run) -> None:
    with own_fleet(1) as (server, _), redis.Redis.from_url(server.url) as client:
        left = qmig("qdrant", *filled.arguments, *LEISURELY, "--detach", broker=server.url)
        assert left.returncode == 0, left.stderr
        until_copied(filled, 100)
        time.sleep(6)
        # All that waits is lost first, and the rest when nobody is left who ends a chunk.
        client.delete(*LISTS)
        until(lambda: not [chunk for chunk in chunks_of(filled) if chunk.owner], "no chunk being copied")
        client.flushall()
        assert copied(filled) < 6000
        until_state(filled, State.DONE)
    assert arrived(filled)


def test_lost_between_the_queueing_of_chunks_and_the_note_of_it(filled: Ends, qmig: Run) -> None:
    with own_fleet(1) as (server, _), redis.Redis.from_url(server.url) as client:
        left = qmig("qdrant", *filled.arguments, *LEISURELY, "--detach", broker=server.url)
        assert left.returncode == 0, left.stderr
        record = record_of(filled)
        assert record is not None
        until(lambda: client.get(QUEUED + record.run), "the chunks being queued")
        client.flushall()
        client.set(QUEUED + record.run, record.chunks)
        until_state(filled, State.DONE)
    assert arrived(filled)


def test_a_lost_note_of_what_was_queued(filled: Ends, qmig: Run) -> None:
    with own_fleet() as (server, _), redis.Redis.from_url(server.url) as client:
        left = qmig("qdrant", *filled.arguments, *SLOWLY, "--detach", broker=server.url)
        assert left.returncode == 0, left.stderr
        until_copied(filled, 500)
        record = record_of(filled)
        assert record is not None
        client.delete(QUEUED + record.run)
        until_state(filled, State.DONE)
    assert arrived(filled)
    assert all(chunk.claims == 1 for chunk in chunks_of(filled))


def test_keys_from_before_redis_clock_was_set_back_by_a_day(
    filled: Ends, paused: tuple[EmbeddedRedis, ChildProcess], qmig: Run
) -> None:
    server, _ = paused
    record = record_of(filled)
    assert record is not None
    with redis.Redis.from_url(server.url) as client:
        for prefix in (DUE, SUPERVISION_QUEUED, LOCK):
            client.set(prefix + record.migration, "1", px=DAY_MS)
        assert qmig("resume", *filled.where).returncode == 0
        until_state(filled, State.DONE)
    assert arrived(filled)


def test_a_dead_worker_that_was_seen_before_the_clock_was_set_back_is_no_worker() -> None:
    with EmbeddedRedis() as server, Fleet(server.url) as fleet:
        worker = fleet.describe_worker("dead", 1)
        fleet.registry.send_heartbeat(worker)
        assert [one.name for one in fleet.registry.workers()] == ["dead"]
        with redis.Redis.from_url(server.url) as client:
            later = client.hget(WORKERS, "dead").replace(b'"seen":', b'"seen":9')
            client.hset(WORKERS, "dead", later)
        assert fleet.registry.workers() == []


def test_attach_and_status_register_a_lost_migration_again(
    filled: Ends, paused: tuple[EmbeddedRedis, ChildProcess]
) -> None:
    server, workers = paused
    workers.stop()
    for command in (["attach"], ["status", "--watch"]):
        watching = ChildProcess(
            [sys.executable, "-m", "qmig", *command, *filled.where],
            name=f"qmig {command[0]}",
            env={"QMIG_BROKER_URL": server.url},
        )
        with Fleet(server.url) as fleet:
            time.sleep(6)
            lose_everything(server)
            until(fleet.registry.registered, "the migration being registered again", watching)
        watching.kill()
