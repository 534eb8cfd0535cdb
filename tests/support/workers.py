"""`qmig worker` as a process of its own."""

import sys

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
