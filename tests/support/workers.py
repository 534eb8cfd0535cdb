"""`qmig worker` as a process of its own."""

import sys

from qmig.embedded.child_process import ChildProcess
from tests.support.waiting import until_logged


def start_workers(broker_url: str, concurrency: int = 2, **env: str) -> ChildProcess:
    """`qmig worker`, ready."""
    process = ChildProcess(
        [sys.executable, "-m", "qmig", "worker", "--concurrency", str(concurrency)],
        name="worker",
        env={"QMIG_BROKER_URL": broker_url, **env},
    )
    until_logged(process, "ready.")
    return process


def start_older_workers(broker_url: str, concurrency: int = 1) -> ChildProcess:
    """`qmig worker` of a release whose tasks had another version, starting."""
    code = "import qmig.broker.task as task; task.TASK_VERSION -= 1; from qmig.cli import main; main()"
    command = [sys.executable, "-c", code, "worker", "--concurrency", str(concurrency)]
    return ChildProcess(command, name="older worker", env={"QMIG_BROKER_URL": broker_url})
