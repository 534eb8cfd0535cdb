"""An embedded Qdrant as a process of its own."""

from __future__ import annotations

import sys
from pathlib import Path
from types import TracebackType

from qmig.embedded.processes import ChildProcess


class EmbeddedQdrant:
    """A `qmig embedded qdrant` process; `start` after `stop` or `kill` takes the same port and directory.

    `tls` is the PEM file of the certificate and that of its key. `url` is known once the process is started.
    """

    def __init__(
        self,
        path: Path,
        port: int = 0,
        api_key: str | None = None,
        tls: tuple[Path, Path] | None = None,
    ) -> None:
        self.path = path
        self.port = port
        self.api_key = api_key
        self.tls = tls
        self.url = ""
        self.process: ChildProcess | None = None

    @property
    def pid(self) -> int:
        """The process' id."""
        if self.process is None:
            raise RuntimeError("the embedded Qdrant is not started")
        return self.process.pid

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.running

    def start(self) -> EmbeddedQdrant:
        """Start the process and wait until it serves."""
        if self.running:
            return self
        command = [sys.executable, "-m", "qmig", "embedded", "qdrant"]
        command += ["--path", str(self.path), "--port", str(self.port)]
        if self.tls is not None:
            command += ["--tls-cert", str(self.tls[0]), "--tls-key", str(self.tls[1])]
        # The key goes through the environment: a command line is open to every user of the machine.
        env = {"QMIG_EMBEDDED_API_KEY": self.api_key or ""}
        self.process = ChildProcess(command, name="the embedded Qdrant", env=env)
        self.url = self.process.wait_for_line("listening on ")
        self.port = int(self.url.rpartition(":")[2])
        return self

    def stop(self) -> None:
        """End the process; it writes everything out first."""
        if self.process is not None:
            self.process.stop()

    def kill(self) -> None:
        """End the process with SIGKILL."""
        if self.process is not None:
            self.process.kill()

    def __enter__(self) -> EmbeddedQdrant:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
