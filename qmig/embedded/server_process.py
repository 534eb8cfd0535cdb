"""A server in a child process, at the same port of loopback after each start."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import ClassVar, Self

from qmig.embedded.child_process import STOP_SECONDS, ChildProcess


class ServerProcess(ABC):
    """A server that can be stopped and started again, with the same port and data.

    Its process ends with this one, however this one ends (Linux).
    """

    #: Seconds that the server gets to end by itself.
    stop_seconds: ClassVar[float] = STOP_SECONDS

    def __init__(self, port: int = 0) -> None:
        """Set the port; 0 chooses a free one at the first start."""
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
        """Start the server unless it runs, and wait until it answers; TerminalError where it does not."""
        if not self.running:
            self.process = self._launch()
        return self

    @abstractmethod
    def _launch(self) -> ChildProcess:
        """Start the process and wait until the server answers."""

    def stop(self) -> None:
        """Let the server end by itself, with everything written to disk."""
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
