"""A migration that is paused, throttled, cancelled, abandoned or resumed from any host loses nothing."""

import os
import signal
import sys
import time
from dataclasses import replace

import pytest
import redis

from qmig.broker.task import TASK_VERSION
from qmig.coordinator.new_plan import begin_new_plan
from qmig.embedded.child_process import ChildProcess
from qmig.embedded.redis import EmbeddedRedis
from qmig.errors import TerminalError
from qmig.ledger.ledger import Ledger
from qmig.ledger.records import State
from tests.support.command import Run
from tests.support.ends import Ends
from tests.support.migrations import (
    LEISURELY,
    POINTS,
    SLOWLY,
    arrived,
    chunks_of,
    copied,
    finish,
    kill_worker_at_work,
    own_fleet,
    record_of,
    start,
    until_copied,
    until_state,
)
from tests.support.records import set_fields
from tests.support.target_settings import indexing_threshold
from tests.support.views import SilentView
from tests.support.waiting import PATIENCE, until, until_logged
from tests.support.workers import worker_of_another_version


@pytest.fixture
def steer(qmig: Run, filled: Ends) -> Run:
    """Call a command that controls the migration between the ends."""

    def run(command: str, *arguments: str, **settings: object) -> object:
        return qmig(command, *filled.where, *arguments, **settings)

    return run


def attach(ends: Ends) -> ChildProcess:
    return ChildProcess([sys.executable, "-m", "qmig", "attach", *ends.where], name="qmig attach")


def test_a_migration_that_is_left_alone_is_finished_by_the_fleet(filled: Ends, qmig: Run) -> None:
    with own_fleet() as (broker, _):
        left = qmig("qdrant", *filled.arguments, *SLOWLY, "--detach", broker=broker.url)
        assert left.returncode == 0, left.stderr
        record = record_of(filled)
        assert record is not None
        assert left.stdout.strip() == record.migration
        assert record.state == State.RUNNING
        until_state(filled, State.DONE)
    assert arrived(filled)
    record = record_of(filled)
    assert record is not None
    assert record.reconciliation is not None
    assert (record.reconciliation.read, record.final_settings, record.error) == (POINTS, None, None)
    assert indexing_threshold(filled) != 0


def test_the_fleet_finishes_what_a_killed_coordinator_began(filled: Ends) -> None:
    with own_fleet() as (broker, _):
        running = start(filled, *SLOWLY, broker=broker.url)
        until_copied(filled, 500)
        running.kill()
        # And it requeues the chunk of a worker that dies while no command follows the migration.
        kill_worker_at_work(filled)
        until_state(filled, State.DONE)
    assert arrived(filled)
    assert sum(chunk.claims for chunk in chunks_of(filled)) > len(chunks_of(filled))


def test_a_broker_that_lost_everything_is_told_of_the_migration_by_its_workers(filled: Ends) -> None:
    with own_fleet() as (broker, _):
        running = start(filled, *SLOWLY, broker=broker.url)
        until_copied(filled, 500)
        running.kill()
        redis.Redis.from_url(broker.url).flushall()
        until_state(filled, State.DONE)
    assert arrived(filled)


def test_a_second_coordinator_beside_a_first_does_no_harm(filled: Ends) -> None:
    with own_fleet() as (broker, _):
        first = start(filled, *SLOWLY, broker=broker.url)
        until_copied(filled, 500)
        second = start(filled, *SLOWLY, broker=broker.url)
        finish(first)
        finish(second)
    assert arrived(filled)
    assert copied(filled) == POINTS


@pytest.mark.parametrize("fleets", ["one", "each its own"])
def test_the_same_command_twice_at_once_is_done_by_one(filled: Ends, qmig: Run, fleet: str, fleets: str) -> None:
    settings = ["-c", "--chunk-size", "500", *(["--workers", "1"] if fleets != "one" else [])]
    both = [start(filled, *settings, broker=fleet if fleets == "one" else None) for _ in range(2)]
    codes = {process.wait(PATIENCE): process.read_stderr() for process in both}

    assert 0 in codes, codes
    assert set(codes) <= {0, 1}
    assert "another command is beginning migration" in codes.get(1, "another command is beginning migration")
    assert arrived(filled)
    assert indexing_threshold(filled) > 0
    again = qmig("qdrant", *filled.arguments, broker=fleet)
    assert again.returncode == 0, again.stderr


def test_a_command_whose_migration_is_cancelled_as_it_begins_names_the_cancellation(
    filled: Ends, steer: Run, qmig: Run, fleet: str
) -> None:
    done = qmig("qdrant", *filled.arguments, "-c", broker=fleet)
    assert done.returncode == 0, done.stderr
    ledger, record = Ledger(filled.target, filled.ledger), record_of(filled)
    assert record is not None
    set_fields(ledger, record.migration, state=State.PREPARING)
    beginning = replace(record, state=State.PREPARING)
    assert steer("cancel").returncode == 0

    with pytest.raises(TerminalError, match=f"{record.migration} was cancelled at this moment"):
        begin_new_plan(ledger, beginning, SilentView(), lambda: False)

    again = qmig("qdrant", *filled.arguments, "-c", broker=fleet)
    assert again.returncode == 0, again.stderr
    assert arrived(filled)


def test_a_paused_migration_rests_and_a_resumed_one_continues(filled: Ends, steer: Run) -> None:
    with own_fleet() as (broker, _):
        running = start(filled, *LEISURELY, broker=broker.url)
        until_copied(filled, 500)
        assert steer("pause").returncode == 0
        until(lambda: not any(chunk.owner for chunk in chunks_of(filled)), "every chunk being released")
        at_rest = copied(filled)
        assert 0 < at_rest < POINTS
        until_logged(running, "paused; `qmig resume` continues it")
        # Tasks that are delivered now find the migration paused.
        until(lambda: redis.Redis.from_url(broker.url).llen("qmig\x06\x169") == 0, "the queue being empty")
        assert copied(filled) == at_rest

        again = steer("pause")
        assert again.returncode == 2
        assert "is paused and cannot be paused" in again.stderr
        resumed = steer("resume")
        assert resumed.returncode == 0, resumed.stderr
        finish(running)
    assert arrived(filled)


def test_a_cancelled_migration_ends_and_the_target_gets_its_final_settings(
    filled: Ends, steer: Run, qmig: Run
) -> None:
    with own_fleet() as (broker, _):
        running = start(filled, *LEISURELY, broker=broker.url)
        until_copied(filled, 500)
        assert indexing_threshold(filled) == 0
        assert steer("cancel").returncode == 0
        finish(running, 1)
        assert "was cancelled" in running.read_stderr()
        assert indexing_threshold(filled) != 0
        assert not any(chunk.owner for chunk in chunks_of(filled))
        assert 0 < copied(filled) < POINTS
        refused = steer("resume")
        assert refused.returncode == 2
        assert "the command that began it resumes it" in refused.stderr

        result = qmig("qdrant", *filled.arguments, *SLOWLY, broker=broker.url)
        assert result.returncode == 0, result.stderr
    assert arrived(filled)


def test_a_throttled_migration_copies_no_more_than_its_limit(filled: Ends, steer: Run) -> None:
    """Two workers share the limit, which is removed while the migration is running."""
    with own_fleet() as (broker, _):
        running = start(filled, "-c", "--chunk-size", "1500", "--max-rate", "200", broker=broker.url)
        until_copied(filled, 200)
        before, began = copied(filled), time.monotonic()
        until_copied(filled, before + 1000)
        # The sliding window lets at most twice the rate through in a second; what is in flight comes on top.
        assert copied(filled) - before <= 400 * (time.monotonic() - began) + 400
        assert steer("throttle", "--max-rate", "0").returncode == 0
        finish(running)
    assert arrived(filled)
    record = record_of(filled)
    assert record is not None
    assert record.max_rate is None


def test_attach_follows_a_migration_to_its_end_from_another_process(filled: Ends, qmig: Run) -> None:
    with own_fleet() as (broker, _):
        assert qmig("qdrant", *filled.arguments, *LEISURELY, "--detach", broker=broker.url).returncode == 0
        viewing, leaving = attach(filled), attach(filled)
        for process in (viewing, leaving):
            until_logged(process, "points/s")
        os.kill(leaving.pid, signal.SIGINT)
        finish(leaving, 130)
        assert "continues, and `qmig attach" in leaving.read_stderr()
        finish(viewing)
    assert f"all {POINTS:,} points are in the target" in viewing.read_stdout()
    assert arrived(filled)


def test_detached_without_a_broker_is_refused(filled: Ends, qmig: Run) -> None:
    result = qmig("qdrant", *filled.arguments, "-c", "--detach")
    assert result.returncode == 2
    assert "--broker-url" in result.stderr
    assert not Ledger(filled.target, filled.ledger).exists()


def test_the_fleet_is_listed_with_its_versions(qmig: Run) -> None:
    with own_fleet(3) as (broker, workers):
        listed = qmig("workers", broker=broker.url)
        assert listed.returncode == 0, listed.stderr
        assert f"qmig-{workers.pid}@" in listed.stdout
        assert "3 processes" in listed.stdout
        workers.stop()
        assert "no worker is online on" in qmig("workers", broker=broker.url).stdout


def test_a_worker_of_another_version_is_named_and_takes_none_of_the_tasks(filled: Ends, qmig: Run) -> None:
    with own_fleet() as (broker, _), worker_of_another_version(broker.url) as other:
        # It is alone with the tasks for a while, as one that joins in mid-run may be.
        named = qmig("qdrant", *filled.arguments, *SLOWLY, broker=broker.url)
        assert named.returncode == 0, named.stderr
        assert f"with tasks of version {TASK_VERSION + 1}, and qmig" in named.stderr
        assert "it takes none of these tasks" in named.stderr
        assert f"tasks of version {TASK_VERSION + 1}" in qmig("workers", broker=broker.url).stdout
        assert "received" not in other.read_stderr()
    assert arrived(filled)
    assert all(chunk.claims == 1 for chunk in chunks_of(filled))


def test_only_workers_of_another_version_is_said(filled: Ends) -> None:
    with EmbeddedRedis() as broker, worker_of_another_version(broker.url):
        running = start(filled, "-c", broker=broker.url)
        until(lambda: "can take part: worker qmig-" in running.read_stderr(), "word of it", running)
        assert f"has version {TASK_VERSION}" in running.read_stderr()
        running.stop()
