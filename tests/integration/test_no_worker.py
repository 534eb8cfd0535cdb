"""A command says that no worker answers only where the broker was asked and knows none."""

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from qmig.embedded.child_process import ChildProcess
from qmig.embedded.redis import EmbeddedRedis
from tests.support.ends import Ends
from tests.support.migrations import arrived, finish, start
from tests.support.refusing_redis import Refusal, out_of_memory, read_only, refusing
from tests.support.waiting import until, until_logged

NO_WORKER = "no worker answers"
# Longer than a command takes to ask for workers.
ASKS_WITHIN = 8.0
# The process of the local workers takes this long to start; nothing else is slower.
SLOW_WORKERS = f"""
import sys, time
if "worker" in sys.orig_argv:
    time.sleep({ASKS_WITHIN})
"""


@pytest.fixture
def server() -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis() as server:
        yield server


@pytest.fixture
def waiting(filled: Ends, server: EmbeddedRedis) -> Iterator[ChildProcess]:
    """A command that has planned, and waits for workers."""
    running = start(filled, "-c", broker=server.url)
    until_logged(running, "planned")
    yield running
    running.kill()


def test_a_broker_that_knows_no_worker(waiting: ChildProcess) -> None:
    until(lambda: NO_WORKER in waiting.read_stderr(), "word of it", waiting)


def test_a_broker_that_is_down(waiting: ChildProcess, server: EmbeddedRedis) -> None:
    server.stop()
    before = waiting.read_stderr().count(NO_WORKER)
    until(lambda: "does not answer" in waiting.read_stderr(), "word of it", waiting)
    assert waiting.read_stderr().count(NO_WORKER) == before


@pytest.mark.parametrize("refusal", [out_of_memory, read_only])
def test_a_broker_that_refuses(waiting: ChildProcess, server: EmbeddedRedis, refusal: Refusal) -> None:
    with refusing(server, refusal):
        before = waiting.read_stderr().count(NO_WORKER)
        until(lambda: " refuses: " in waiting.read_stderr(), "word of it", waiting)
        assert waiting.read_stderr().count(NO_WORKER) == before


def test_local_workers_that_are_starting(filled: Ends, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sitecustomize.py").write_text(SLOW_WORKERS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    began = time.monotonic()
    running = ChildProcess(
        [sys.executable, "-m", "qmig", "qdrant", *filled.arguments, "-c", "--workers", "1"], name="qmig qdrant"
    )
    finish(running)
    assert time.monotonic() - began > ASKS_WITHIN
    assert NO_WORKER not in running.read_stderr()
    assert "qmig worker" not in running.read_stderr()
    assert arrived(filled)
