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
import runpy, sys
from qmig.broker import task
task.TASK_VERSION += 1
sys.argv = ["qmig", "worker", "--concurrency", "1"]
runpy.run_module("qmig", run_name="__main__")
"""


@contextmanager
def worker_of_another_version(broker_url: str) -> Iterator[ChildProcess]:
    """A worker whose tasks have the next version, ready."""
    process = ChildProcess([sys.executable, "-c", _NEXT_VERSION], name="worker", env={"QMIG_BROKER_URL": broker_url})
    until_logged(process, "ready.")
    try:
        yield process
    finally:
        process.stop()
