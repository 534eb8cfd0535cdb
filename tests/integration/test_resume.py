"""Killed at any moment, by any hand, the same command goes on and nothing is missing."""

import os
import signal
import subprocess

import psutil
import pytest

from qmig.ledger import State
from qmig.progress import Progress
from tests.conftest import Ends, Run, start_workers
from tests.contents import contents
from tests.migrating import (
    PATIENCE,
    POINTS,
    SLOWLY,
    arrived,
    chunks_of,
    copied,
    fill_source,
    own_fleet,
    record_of,
    start,
    until,
    until_copied,
    worker_at_work,
)


@pytest.fixture
def filled(ends: Ends) -> Ends:
    fill_source(ends)
    return ends


@pytest.mark.parametrize("moment", [1, 1000, 3500])
def test_coordinator_local_workers_and_redis_killed_at_once(filled: Ends, qmig: Run, moment: int) -> None:
    running = start(filled, *SLOWLY, "--workers", "2")
    until_copied(filled, moment)

    running.kill()

    before = copied(filled)
    assert 0 < before < POINTS
    result = qmig("qdrant", *filled.arguments, *SLOWLY, "--workers", "3")
    assert result.returncode == 0, result.stderr
    assert arrived(filled)
    assert Progress.of(chunks_of(filled)).points == POINTS


def test_killed_three_times_with_another_number_of_workers_each_time(filled: Ends, qmig: Run) -> None:
    for workers, points in (("1", 800), ("3", 2400), ("2", 4000)):
        running = start(filled, *SLOWLY, "--workers", workers)
        until_copied(filled, points)
        running.kill()

    plan = [(chunk.start, chunk.end) for chunk in chunks_of(filled)]
    result = qmig("qdrant", *filled.arguments, *SLOWLY, "--workers", "4")

    assert result.returncode == 0, result.stderr
    assert arrived(filled)
    assert [(chunk.start, chunk.end) for chunk in chunks_of(filled)] == plan


def test_coordinator_killed_the_fleet_goes_on_and_so_does_the_command(filled: Ends, qmig: Run) -> None:
    with own_fleet() as (redis, _):
        running = start(filled, *SLOWLY, broker=redis.url)
        until_copied(filled, 500)
        running.kill()
        before = copied(filled)
        until(lambda: copied(filled) > before, "the fleet going on by itself")
        result = qmig("qdrant", *filled.arguments, *SLOWLY, broker=redis.url)
        assert result.returncode == 0, result.stderr
    assert arrived(filled)


def test_worker_process_killed_in_the_middle_of_a_chunk(filled: Ends) -> None:
    with own_fleet() as (redis, _):
        running = start(filled, *SLOWLY, broker=redis.url)
        until_copied(filled, 500)
        worker_at_work(filled).kill()
        assert running.wait(PATIENCE) == 0, running.read_stderr()
    assert arrived(filled)
    assert "1 of them resumed" in running.read_stdout()


def test_all_workers_killed_and_others_join(filled: Ends) -> None:
    with own_fleet() as (redis, workers):
        running = start(filled, *SLOWLY, broker=redis.url)
        until_copied(filled, 500)
        workers.kill()
        others = start_workers(redis.url, 3)
        try:
            assert running.wait(PATIENCE) == 0, running.read_stderr()
        finally:
            others.stop()
    assert arrived(filled)


def test_redis_killed_and_empty_afterwards(filled: Ends) -> None:
    with own_fleet() as (redis, _):
        running = start(filled, *SLOWLY, broker=redis.url)
        until_copied(filled, 500)
        redis.kill()
        redis.start()
        assert running.wait(PATIENCE) == 0, running.read_stderr()
    assert arrived(filled)


def test_everything_killed_at_once_on_a_fleet(filled: Ends, qmig: Run) -> None:
    with own_fleet() as (redis, workers):
        running = start(filled, *SLOWLY, broker=redis.url)
        until_copied(filled, 2000)
        for process in (running, workers):
            process.kill()
        redis.kill()
        redis.start()
        others = start_workers(redis.url, 1)
        try:
            result = qmig("qdrant", *filled.arguments, *SLOWLY, broker=redis.url)
        finally:
            others.stop()
    assert result.returncode == 0, result.stderr
    assert arrived(filled)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_stores_the_offsets_and_says_how_to_go_on(filled: Ends, qmig: Run, number: signal.Signals) -> None:
    running = start(filled, *SLOWLY, "--workers", "2")
    until_copied(filled, 500)

    os.kill(running.pid, number)

    assert running.wait(PATIENCE) == 130
    assert "the same command goes on from there" in running.read_stderr()
    record = record_of(filled)
    assert record is not None
    assert record.state == State.STOPPED
    stopped = chunks_of(filled)
    assert all(not chunk.owner for chunk in stopped)
    # The offsets are exact: what the ledger counts is what the target holds.
    assert len(contents(filled.target, filled.target_name)) == sum(chunk.acknowledged for chunk in stopped)
    result = qmig("qdrant", *filled.arguments, *SLOWLY)
    assert result.returncode == 0, result.stderr
    assert arrived(filled)


def test_ctrl_c_leaves_no_process_behind(filled: Ends) -> None:
    running = start(filled, *SLOWLY, "--workers", "2")
    until_copied(filled, 100)
    family = psutil.Process(running.pid).children(recursive=True)
    assert len(family) >= 4

    os.kill(running.pid, signal.SIGINT)

    assert running.wait(PATIENCE) == 130
    gone, alive = psutil.wait_procs(family, timeout=10)
    assert not alive, alive
    assert len(gone) == len(family)


def test_kill_leaves_no_process_behind(filled: Ends) -> None:
    running = start(filled, *SLOWLY, "--workers", "2")
    until_copied(filled, 100)
    family = psutil.Process(running.pid).children(recursive=True)

    os.kill(running.pid, signal.SIGKILL)

    _, alive = psutil.wait_procs(family, timeout=10)
    assert not alive, alive


def test_worker_host_that_is_told_to_leave_gives_its_chunks_back(filled: Ends) -> None:
    with own_fleet() as (redis, workers):
        others = start_workers(redis.url, 1)
        try:
            running = start(filled, *SLOWLY, broker=redis.url)
            until_copied(filled, 500)
            workers.stop(timeout=30)
            assert running.wait(PATIENCE) == 0, running.read_stderr()
        finally:
            others.stop()
    assert arrived(filled)


def test_restart_begins_again(filled: Ends, qmig: Run) -> None:
    running = start(filled, *SLOWLY, "--workers", "2")
    until_copied(filled, 1000)
    running.kill()

    result = qmig("qdrant", *filled.arguments, "--restart-migration", "--chunk-size", "2500", "--workers", "2")

    assert result.returncode == 0, result.stderr
    assert "6,000 points in" in result.stdout
    assert len(chunks_of(filled)) == 3
    assert arrived(filled)


def test_options_that_would_change_the_plan_are_refused(filled: Ends, qmig: Run) -> None:
    assert qmig("qdrant", *filled.arguments, "-c", "--chunk-size", "1500").returncode == 0

    result: subprocess.CompletedProcess[str] = qmig("qdrant", *filled.arguments, "--chunk-size", "100")

    assert result.returncode == 2
    assert "--chunk-size 100" in result.stderr
    assert "--restart-migration" in result.stderr
