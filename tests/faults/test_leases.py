"""Leases: a worker that sleeps too long, dies again and again, gets its task twice, or has a wrong clock."""

import os
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

import psutil
import pytest
import redis
from celery import Celery

from qmig.broker.access import AccessGrant
from qmig.broker.queues import PLAIN_QUEUE
from qmig.broker.task import MIGRATE_CHUNK, ChunkTask, MigrationTask
from qmig.embedded.child_process import ChildProcess
from qmig.jobs.runner import MAX_LOST_OWNERS
from qmig.ledger.owner import Owner
from qmig.ledger.records import ChunkRecord
from qmig.migration import Credentials
from qmig.qdrant import messages as api
from tests.support.collections import contents, create, create_shard_key, dense_params
from tests.support.command import Run
from tests.support.ends import Ends
from tests.support.fault_servers import DisturbedEnds, FaultServers
from tests.support.migrations import (
    POINTS,
    SLOWLY,
    arrived,
    chunks_of,
    copied,
    finish,
    own_fleet,
    record_of,
    start,
    until_copied,
    worker_at_work,
    workers_on,
)
from tests.support.redelivery import deliver_again
from tests.support.waiting import until, until_logged

# Seconds within which a stalled chunk gets another worker.
TAKEN_UP_WITHIN = 30.0
CLOCKS = Path(__file__).parent / "clocks"


def pid_of(chunk: ChunkRecord) -> int | None:
    return Owner.parse(chunk.owner).pid if chunk.owner else None


def chunk_at(ends: Ends) -> ChunkRecord:
    """The only chunk."""
    return chunks_of(ends)[0]


@contextmanager
def frozen(process: psutil.Process) -> Iterator[None]:
    """Send SIGSTOP, and SIGCONT at the end."""
    process.suspend()
    try:
        yield
    finally:
        process.resume()


def test_frozen_worker_loses_its_chunk_within_30_s_and_leaves_it_alone_when_it_wakes(filled: Ends) -> None:
    slowly = ["-c", "--chunk-size", str(POINTS), "-b", "100", "--batch-delay", "250"]
    with own_fleet(1) as (redis_server, one), workers_on(redis_server.url, 1) as other:
        running = start(filled, *slowly, broker=redis_server.url)
        sleeper = worker_at_work(filled)
        until(lambda: chunk_at(filled).offset is not None, "an offset")
        with frozen(sleeper):
            until(
                lambda: pid_of(chunk_at(filled)) != sleeper.pid, "another worker at the chunk", within=TAKEN_UP_WITHIN
            )
            taken = chunk_at(filled)
            until(lambda: chunk_at(filled).acknowledged > taken.acknowledged, "progress of the other one")
        asleep = one if sleeper.ppid() == one.pid else other
        until(lambda: "belongs to another worker by now" in asleep.read_stderr(), "the sleeper noticing it")
        after = chunk_at(filled)
        assert (after.owner, after.claims) == (taken.owner, 2)
        finish(running)
    assert arrived(filled)
    assert chunk_at(filled).acknowledged == POINTS


@pytest.mark.usefixtures("custom_sharding")
def test_worker_frozen_while_the_migration_begins_again_writes_nothing_where_it_wrote_before(filled: Ends) -> None:
    create(filled.target, filled.target_name, dense_params(), sharding_method=api.Custom)
    for key in ('"one"', '"two"'):
        create_shard_key(filled.target, filled.target_name, key)
    slowly = ["--chunk-size", str(POINTS), "-b", "100", "--batch-delay", "100"]
    with own_fleet(1) as (redis_server, _), workers_on(redis_server.url, 1):
        before = start(filled, *slowly, "--target-shard-key", "one", broker=redis_server.url)
        sleeper = worker_at_work(filled)
        until(lambda: chunk_at(filled).offset is not None, "an offset")
        with frozen(sleeper):
            again = start(
                filled, *slowly, "--target-shard-key", "two", "--restart-migration", broker=redis_server.url
            )
            until_logged(again, "waiting for the workers of the earlier plan to release 1 chunk")
            until(lambda: chunks_of(filled) and copied(filled) > 0, "points of the new plan")
            written = contents(filled.target, filled.target_name, '"one"')
        finish(again)
        finish(before, 1)
        assert "was begun again by another command" in before.read_stderr()
    assert contents(filled.target, filled.target_name, '"two"') == contents(filled.source, filled.source_name)
    assert len(contents(filled.target, filled.target_name, '"one"')) <= len(written) + 100


def test_chunk_that_kills_its_workers_fails_with_a_word_on_why(
    disturbed: DisturbedEnds, fault_servers: FaultServers, qmig: Run
) -> None:
    with own_fleet(1) as (redis_server, _):
        # A source that never answers: no worker makes progress.
        running = start(disturbed, "-c", "--chunk-size", str(POINTS), broker=redis_server.url)
        fault_servers.proxies["source"].delay(0.2)
        until(lambda: bool(chunks_of(disturbed)), "a plan")
        fault_servers.proxies["source"].cut()
        claims = 0

        def failed_or_struck() -> bool:
            nonlocal claims
            chunk = chunk_at(disturbed)
            if chunk.claims > claims and (pid := pid_of(chunk)):
                claims = chunk.claims
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            return not running.running

        until(failed_or_struck, "an end of it")
        assert claims >= MAX_LOST_OWNERS
        finish(running, 1)
        assert "workers in a row died or stopped sending heartbeats at this chunk" in running.read_stderr()
        fault_servers.restore()
        again = qmig("qdrant", *disturbed.arguments, broker=redis_server.url)
        assert again.returncode == 0, again.stderr
    assert arrived(disturbed)


def test_same_task_delivered_twice_at_once(filled: Ends) -> None:
    with own_fleet(1) as (redis_server, workers):
        host = psutil.Process(workers.pid)
        host.suspend()
        running = start(filled, "-c", "--chunk-size", "1500", "-b", "100", broker=redis_server.url)
        until_logged(running, "planned")
        record = record_of(filled)
        assert record is not None
        access = AccessGrant.of(record.definition, Credentials()).to_text()
        app = Celery(broker=redis_server.url)
        for chunk in chunks_of(filled):
            migration_task = MigrationTask(migration=record.migration, access=access)
            task = ChunkTask(migration_task=migration_task, run=record.run, chunk=chunk.index)
            app.send_task(MIGRATE_CHUNK, kwargs=task.to_kwargs(), queue=PLAIN_QUEUE)
        with redis.Redis.from_url(redis_server.url) as client:
            deliver_again(client)
            deliver_again(client)
        host.resume()
        with workers_on(redis_server.url, 3) as others:
            finish(running)
            said = others.read_stderr() + workers.read_stderr()
    assert arrived(filled)
    assert all(chunk.claims == 1 for chunk in chunks_of(filled))
    assert sum(chunk.acknowledged for chunk in chunks_of(filled)) == POINTS
    assert "nothing to do" in said


def clock_of(workers: ChildProcess) -> datetime:
    """The time in the last line of a worker's log."""
    return datetime.fromisoformat(re.findall(r"^\[([-\d]+ [:\d]+),", workers.read_stderr(), re.MULTILINE)[-1])


@pytest.mark.parametrize("hours", [1, -1], ids=["fast", "slow"])
def test_clock_of_one_worker_an_hour_off(filled: Ends, hours: int) -> None:
    path = os.pathsep.join([str(CLOCKS), os.environ.get("PYTHONPATH", "")])
    off = {"PYTHONPATH": path, "CLOCK_OFFSET": str(3600 * hours)}
    with own_fleet(1) as (redis_server, right), workers_on(redis_server.url, 1, **off) as wrong:
        running = start(filled, *SLOWLY, broker=redis_server.url)
        until_copied(filled, 2000)
        assert abs((clock_of(wrong) - clock_of(right)).total_seconds() - 3600 * hours) < 60
        # No lease expired.
        assert all(chunk.claims < 2 for chunk in chunks_of(filled))
        # From now on only the worker with the wrong clock is left, and the other one has queued its chunks.
        os.kill(right.pid, signal.SIGTERM)
        finish(running)
    assert arrived(filled)
