"""The demo's migrations: the commands that a user would type, run to their end or killed on their way."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
from rich.console import Console

from qmig.embedded.child_process import ChildProcess
from qmig.errors import TerminalError

POLL_SECONDS = 0.1
# The demo uses its own servers and starts its own workers, whatever the user has set.
NO_SETTINGS = dict.fromkeys(("QMIG_BROKER_URL", "SOURCE_API_KEY", "SOURCE_PASSWORD", "TARGET_API_KEY"), "")

Check = Callable[[], None]


@dataclass(frozen=True)
class Command:
    """A `qmig` command that shows its progress on this terminal."""

    #: What follows `qmig`, one group for each line in which the command is shown.
    arguments: Sequence[Sequence[str]]
    #: Where its processes leave temporary files that SIGKILL keeps them from deleting.
    directory: Path

    def __str__(self) -> str:
        return "$ qmig " + " \\\n    ".join(map(shlex.join, self.arguments))

    def run(self, check: Check) -> str:
        """Run the command to its end and return what it printed; TerminalError unless its exit status is 0.

        `check` is called again and again, and may raise.
        """
        with self._started() as process:
            while process.running:
                check()
                time.sleep(POLL_SECONDS)
            if status := process.wait():
                raise TerminalError(f"the command above ended with status {status}")
            return process.read_stdout().rstrip()

    def run_and_kill(self, ready: Callable[[], bool], check: Check) -> int:
        """Run the command until `ready`, and kill its processes with SIGKILL; return how many these were."""
        with self._started() as process:
            while not ready():
                check()
                if not process.running:
                    raise TerminalError(
                        f"the command above ended with status {process.wait()}, too early to be killed"
                    )
                time.sleep(POLL_SECONDS)
            return _kill(process)

    @contextmanager
    def _started(self) -> Iterator[ChildProcess]:
        """Start the command; what is left of it in the end is killed."""
        words = [word for group in self.arguments for word in group]
        process = ChildProcess(
            [sys.executable, "-m", "qmig", *words],
            name=f"qmig {words[0]}",
            env={**NO_SETTINGS, "TMPDIR": str(self.directory)},
            show_log=True,
        )
        try:
            yield process
        finally:
            if process.running:
                _kill(process)


def _kill(process: ChildProcess) -> int:
    """Kill a command, its Redis and its workers at once; return how many processes these were."""
    command = psutil.Process(process.pid)
    everything = [command, *command.children(recursive=True)]
    for one in everything:
        with suppress(psutil.NoSuchProcess):
            one.kill()
    process.wait()
    _leave_bar()
    return len(everything)


def _leave_bar() -> None:
    """Go below the bar of a killed command, which has hidden the cursor."""
    console = Console(stderr=True)
    if console.is_terminal:
        console.show_cursor()
        console.print()
