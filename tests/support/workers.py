"""`qmig worker` as a process of its own."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from qmig.embedded.child_process import ChildProcess
from tests.support.waiting import until_logged


def start_workers(broker_url: str, concurrency: int = 2, **env: str) -> ChildProcess:
    """`qmig worker`, ready."""
    process = begin_workers(broker_url, concurrency, **env)
    until_logged(process, "ready.")
    return process


def begin_workers(broker_url: str, concurrency: int = 2, **env: str) -> ChildProcess:
    """`qmig worker`, which may not be ready yet."""
    return ChildProcess(
        [sys.executable, "-m", "qmig", "worker", "--concurrency", str(concurrency)],
        name="worker",
        env={"QMIG_BROKER_URL": broker_url, **env},
    )


# The tasks' version is raised before anything else of qmig is imported.
_NEXT_VERSION = """
from qmig.broker import task
task.TASK_VERSION += 1
"""
_DEFECT = """
from celery.worker.consumer import Consumer
def start(self):
    raise RuntimeError("a defect")
Consumer.start = start
"""
_RUN = """
import runpy, sys
sys.argv = ["qmig", "worker", "--concurrency", "1"]
runpy.run_module("qmig", run_name="__main__")
"""


def _changed_worker(change: str, broker_url: str) -> ChildProcess:
    return ChildProcess([sys.executable, "-c", change + _RUN], name="worker", env={"QMIG_BROKER_URL": broker_url})


def worker_with_a_defect(broker_url: str) -> ChildProcess:
    """A worker whose main process fails as it starts."""
    return _changed_worker(_DEFECT, broker_url)


def begin_worker_of_another_version(broker_url: str) -> ChildProcess:
    """A worker whose tasks have the next version, which may not be ready yet."""
    return _changed_worker(_NEXT_VERSION, broker_url)


@contextmanager
def worker_of_another_version(broker_url: str) -> Iterator[ChildProcess]:
    """A worker whose tasks have the next version, ready."""
    process = begin_worker_of_another_version(broker_url)
    until_logged(process, "ready.")
    try:
        yield process
    finally:
        process.stop()
