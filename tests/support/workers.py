"""`qmig worker` as a process of its own."""

import sys

from qmig.embedded.processes import ChildProcess


def start_workers(broker_url: str, concurrency: int = 2, **env: str) -> ChildProcess:
    """`qmig worker`, ready."""
    process = ChildProcess(
        [sys.executable, "-m", "qmig", "worker", "--concurrency", str(concurrency)],
        name="worker",
        env={"QMIG_BROKER_URL": broker_url, **env},
    )
    process.wait_for_log("ready.")
    return process
