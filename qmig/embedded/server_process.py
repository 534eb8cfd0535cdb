"""A server in a child process, at a port of loopback that outlives it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import ClassVar, Self

from qmig.embedded.child_process import STOP_SECONDS, ChildProcess


class ServerProcess(ABC):
    """`start` after `stop` or `kill` takes the same port, and goes on with the data there are.

    The process ends with this one, however this one ends (Linux).
    """

    stop_seconds: ClassVar[float] = STOP_SECONDS
    """How long it gets to end in its own way."""

    def __init__(self, port: int = 0) -> None:
        """Nothing runs yet; port 0 is one that is chosen at the first start."""
        self.port = port
        self.process: ChildProcess | None = None

    @property
    def pid(self) -> int:
        if self.process is None:
            raise RuntimeError(f"{type(self).__name__} is not started")
        return self.process.pid

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.running

    def start(self) -> Self:
        """Start the server, unless it runs, and wait until it serves; TerminalError where it does not."""
        if not self.running:
            self.process = self._launch()
        return self

    @abstractmethod
    def _launch(self) -> ChildProcess:
        """The server's process, once it serves."""

    def stop(self) -> None:
        """End the server in its own way: it writes everything out first."""
        if self.process is not None:
            self.process.stop(self.stop_seconds)

    def kill(self) -> None:
        """End the server with SIGKILL."""
        if self.process is not None:
            self.process.kill()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
