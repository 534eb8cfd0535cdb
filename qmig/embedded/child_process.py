"""Child processes that end with their parent: start them, wait until they are ready, stop them."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache

from qmig.errors import TerminalError

LAUNCHER = """
import ctypes, os, signal, sys
PR_SET_PDEATHSIG = 1
ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
if os.getppid() == int(sys.argv[1]):
    os.execvp(sys.argv[2], sys.argv[2:])
"""
READY_SECONDS = 30.0
STOP_SECONDS = 10.0
POLL_SECONDS = 0.02
STDERR_LINES = 5
#: Ports for servers: below those of outgoing connections, which could otherwise take a port before its server does.
PORTS = range(15_000, 32_000)


class ChildProcess:
    """A process in a session of its own that gets SIGKILL when this process ends, however it ends (Linux)."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        name: str,
        env: Mapping[str, str] | None = None,
        stdin: bytes = b"",
        show_log: bool = False,
    ) -> None:
        """Start `command`. `name` is for messages, and `env` is added to this process' environment.

        With `show_log` it shares this process' stderr, which then cannot be read back.
        """
        self.name = name
        self._stdout = tempfile.TemporaryFile()  # noqa: SIM115
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115
        with tempfile.TemporaryFile() as source:
            source.write(stdin)
            source.seek(0)
            parent = os.getpid()
            start = _starter(parent).submit(
                subprocess.Popen,
                [*_launcher(parent), *command],
                stdin=source,
                stdout=self._stdout,
                stderr=None if show_log else self._stderr,
                env={**os.environ, **(env or {})},
                start_new_session=True,
            )
            self._process: subprocess.Popen[bytes] = start.result()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def wait_for_line(self, mark: str, timeout: float = READY_SECONDS) -> str:
        """Wait until the process prints a line with `mark`, and return what follows the mark.

        Raises TerminalError where the process ends, or `timeout` seconds pass, before that.
        """
        return self._wait_for(self.read_stdout, mark, timeout)

    def wait_for_log(self, mark: str, timeout: float = READY_SECONDS) -> str:
        """Wait for a line on stderr, as `wait_for_line` does."""
        return self._wait_for(self.read_stderr, mark, timeout)

    def _wait_for(self, read: Callable[[], str], mark: str, timeout: float) -> str:
        deadline = time.monotonic() + timeout
        while True:
            ended = not self.running
            for line in read().splitlines(keepends=True):
                if mark in line and line.endswith("\n"):
                    return line.partition(mark)[2].strip()
            if ended:
                status = self._process.returncode
                raise TerminalError(f"{self.name} ended with status {status} as it started{self.last_lines()}")
            if time.monotonic() > deadline:
                self.kill()
                raise TerminalError(f"{self.name} was not ready within {timeout:g} s{self.last_lines()}")
            time.sleep(POLL_SECONDS)

    def last_lines(self) -> str:
        lines = self.read_stderr().strip().splitlines()[-STDERR_LINES:]
        return ": " + " | ".join(lines) if lines else ""

    def read_stdout(self) -> str:
        return _contents(self._stdout.fileno())

    def read_stderr(self) -> str:
        return _contents(self._stderr.fileno())

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end and return the exit status, negative for a signal."""
        return self._process.wait(timeout)

    def stop(self, timeout: float = STOP_SECONDS) -> None:
        """Send SIGTERM, and after `timeout` seconds SIGKILL to the process and its session."""
        if self.running:
            self._process.terminate()
            try:
                self._process.wait(timeout)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self) -> None:
        """Send SIGKILL to the process and whatever it has started in its session."""
        if self.running:
            os.killpg(self.pid, signal.SIGKILL)
            self._process.wait()


@cache
def _starter(parent: int) -> ThreadPoolExecutor:
    """The thread that starts all children of this process.

    The kernel sends the parent-death signal when the thread that forked ends, so the thread has to live as
    long as the process; a fork of this process gets another thread.
    """
    return ThreadPoolExecutor(1, thread_name_prefix=f"children-of-{parent}")


def _launcher(parent: int) -> list[str]:
    """The command that asks for the parent-death signal and then becomes the child.

    It asks after the exec: code between fork and exec meets gRPC's own fork handlers, and they may abort.
    """
    if sys.platform != "linux":
        return []
    return [sys.executable, "-I", "-S", "-c", LAUNCHER, str(parent)]


def _contents(descriptor: int) -> str:
    size = os.fstat(descriptor).st_size
    return os.pread(descriptor, size, 0).decode(errors="replace")


def free_port() -> int:
    """Choose a port of loopback at which nothing listens."""
    while True:
        port = random.choice(PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
