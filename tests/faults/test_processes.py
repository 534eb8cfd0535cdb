"""Whatever process dies, in whatever order, nothing is missing at the end."""

from pathlib import Path

import pytest

from qmig.monitor.progress import Progress
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
    start,
    until_copied,
    workers_on,
)
from tests.support.waiting import until


@pytest.mark.parametrize("moment", [1, 1000, 3500])
def test_coordinator_local_workers_and_redis_killed_at_once(filled: Ends, qmig: Run, moment: int) -> None:
    running = start(filled, *LEISURELY, "--workers", "2")
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


def test_after_a_killed_coordinator_the_fleet_continues_and_the_command_resumes(filled: Ends, qmig: Run) -> None:
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
    with own_fleet() as (redis, workers):
        running = start(filled, *SLOWLY, broker=redis.url)
        until_copied(filled, 500)
        kill_worker_at_work(filled)
        finish(running)
        said = workers.read_stderr()
    assert "signal 9 (SIGKILL)" in said
    assert "Traceback" not in said
    assert arrived(filled)
    assert "1 of them resumed" in running.read_stdout()


def test_one_worker_of_two_killed_with_its_children(filled: Ends) -> None:
    with own_fleet(1) as (redis, workers), workers_on(redis.url, 1):
        running = start(filled, *SLOWLY, broker=redis.url)
        until_copied(filled, 500)
        workers.kill()
        finish(running)
    assert arrived(filled)


def test_all_workers_killed_and_others_join(filled: Ends) -> None:
    with own_fleet() as (redis, workers):
        running = start(filled, *SLOWLY, broker=redis.url)
        until_copied(filled, 500)
        workers.kill()
        with workers_on(redis.url, 3):
            finish(running)
    assert arrived(filled)


@pytest.mark.parametrize("kept", [False, True], ids=["and-empty-afterwards", "with-its-data-kept"])
def test_redis_killed(filled: Ends, tmp_path: Path, kept: bool) -> None:
    with own_fleet(redis_directory=tmp_path if kept else None) as (redis, _):
        running = start(filled, *SLOWLY, broker=redis.url)
        until_copied(filled, 500)
        redis.kill()
        before = copied(filled)
        until(lambda: copied(filled) > before, "the workers going on without Redis")
        redis.start()
        finish(running)
    assert arrived(filled)


def test_everything_killed_at_once_on_a_fleet(filled: Ends, qmig: Run) -> None:
    with own_fleet() as (redis, workers):
        running = start(filled, *SLOWLY, broker=redis.url)
        until_copied(filled, 2000)
        for process in (running, workers):
            process.kill()
        redis.kill()
        redis.start()
        with workers_on(redis.url, 1):
            result = qmig("qdrant", *filled.arguments, *SLOWLY, broker=redis.url)
    assert result.returncode == 0, result.stderr
    assert arrived(filled)
