"""Waiting for what a test can see, for a bounded time."""

import time
from collections.abc import Callable
from typing import TypeVar

from qmig.embedded.child_process import ChildProcess

# Seconds: far more than anything takes, so that no test fails because the machine is busy.
PATIENCE = 120.0
POLL_SECONDS = 0.05
LAST_CHARACTERS = 5000

Seen = TypeVar("Seen")


def until(check: Callable[[], Seen], what: str, *processes: ChildProcess, within: float = PATIENCE) -> Seen:
    """Look until there is something to see, and return it.

    Raises AssertionError after `within` seconds, or as soon as one of `processes` has ended; it shows their output.
    """
    deadline = time.monotonic() + within
    while True:
        ended = [process.name for process in processes if not process.running]
        if seen := check():
            return seen
        assert not ended, f"{', '.join(ended)} ended before {what}\n{output_of(*processes)}"
        assert time.monotonic() < deadline, f"{what} did not happen within {within:g} s\n{output_of(*processes)}"
        time.sleep(POLL_SECONDS)


def until_logged(process: ChildProcess, text: str) -> str:
    """Wait until a line of the process' log has this text; what follows the text in that line."""
    return process.wait_for_log(text, PATIENCE)


def output_of(*processes: ChildProcess) -> str:
    """The end of what each process has written."""
    return "\n".join(
        f"--- {process.name} {process.pid}\n{(process.read_stdout() + process.read_stderr())[-LAST_CHARACTERS:]}"
        for process in processes
    )
