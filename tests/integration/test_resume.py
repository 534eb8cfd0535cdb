"""Stopped at any moment, the same command resumes, and no process or file is left behind."""

import os
import signal
import subprocess
from collections.abc import Callable
from dataclasses import replace

import psutil
import pytest

from qmig.ledger.ledger import Ledger, is_value
from qmig.ledger.records import RecordKind, State
from qmig.ledger.rejects import RejectRecord, rejects_of, save_rejects
from qmig.qdrant import messages as api
from tests.support.collections import contents
from tests.support.command import Run
from tests.support.ends import Ends
from tests.support.migrations import (
    LEISURELY,
    SLOWLY,
    arrived,
    chunks_of,
    finish,
    own_fleet,
    record_of,
    start,
    until_copied,
    workers_on,
)
from tests.support.waiting import PATIENCE


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_stores_the_offsets_and_says_how_to_resume(filled: Ends, qmig: Run, number: signal.Signals) -> None:
    running = start(filled, *LEISURELY, "--workers", "2")
    until_copied(filled, 500)

    os.kill(running.pid, number)

    finish(running, 130)
    assert "the same command resumes from there" in running.read_stderr()
    record = record_of(filled)
    assert record is not None
    assert record.state == State.STOPPED
    stopped = chunks_of(filled)
    assert all(not chunk.owner for chunk in stopped)
    # The offsets are exact: the ledger's count is the target's.
    assert len(contents(filled.target, filled.target_name)) == sum(chunk.acknowledged for chunk in stopped)
    result = qmig("qdrant", *filled.arguments, *SLOWLY)
    assert result.returncode == 0, result.stderr
    assert arrived(filled)


def test_ctrl_c_leaves_no_process_behind(filled: Ends) -> None:
    running = start(filled, *LEISURELY, "--workers", "2")
    until_copied(filled, 100)
    family = psutil.Process(running.pid).children(recursive=True)
    assert len(family) >= 4

    os.kill(running.pid, signal.SIGINT)

    finish(running, 130)
    gone, alive = psutil.wait_procs(family, timeout=PATIENCE)
    assert not alive, alive
    assert len(gone) == len(family)


def test_kill_leaves_no_process_behind(filled: Ends) -> None:
    running = start(filled, *LEISURELY, "--workers", "2")
    until_copied(filled, 100)
    family = psutil.Process(running.pid).children(recursive=True)

    os.kill(running.pid, signal.SIGKILL)

    _, alive = psutil.wait_procs(family, timeout=PATIENCE)
    assert not alive, alive


def test_a_worker_host_that_gets_sigterm_releases_its_chunks(filled: Ends) -> None:
    with own_fleet() as (redis, workers), workers_on(redis.url, 1):
        running = start(filled, *SLOWLY, broker=redis.url)
        until_copied(filled, 500)
        workers.stop(timeout=PATIENCE)
        log = workers.read_stderr()
        finish(running)
    assert arrived(filled)
    assert "shutting down" in log
    assert "Traceback" not in log


def test_restart_begins_again(filled: Ends, qmig: Run) -> None:
    running = start(filled, *LEISURELY, "--workers", "2")
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


def test_a_restart_that_was_killed_at_once_leaves_nothing_of_the_plan_before(
    filled: Ends, plan_only: Callable[..., None], qmig: Run, fleet: str
) -> None:
    plan_only("-c", "--chunk-size", "500")
    before = record_of(filled)
    assert before is not None
    ledger = Ledger(filled.target, filled.ledger)
    save_rejects(ledger, [RejectRecord(before.migration, 9, None, "5000", "5000", "too large", 100)])
    # Killed between the new record and the end of the old chunks.
    begun = replace(before, state=State.PREPARING, planned=False, chunks=0, chunk_size=0, run="")
    ledger.save(RecordKind.MIGRATION, [begun])

    result = qmig("qdrant", *filled.arguments, "--chunk-size", "3000", broker=fleet)

    assert result.returncode == 0, result.stderr
    assert len(ledger.scroll(api.Filter(must=[is_value("record", "chunk")]))) == len(chunks_of(filled)) == 2
    assert rejects_of(ledger, before.migration) == []
    assert arrived(filled)
