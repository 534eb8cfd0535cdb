"""An embedded Qdrant as a child process."""

import sys
from pathlib import Path

from qmig.embedded.child_process import ChildProcess
from qmig.embedded.server_process import ServerProcess


class EmbeddedQdrant(ServerProcess):
    """A `qmig embedded qdrant` process with its data in `path`.

    `tls` is the PEM file of the certificate and that of its key. `url` is known once the process is started.
    """

    def __init__(
        self,
        path: Path,
        port: int = 0,
        api_key: str | None = None,
        tls: tuple[Path, Path] | None = None,
    ) -> None:
        super().__init__(port)
        self.path = path
        self.api_key = api_key
        self.tls = tls
        self.url = ""

    def _launch(self) -> ChildProcess:
        command = [sys.executable, "-m", "qmig", "embedded", "qdrant"]
        command += ["--path", str(self.path), "--port", str(self.port)]
        if self.tls is not None:
            command += ["--tls-cert", str(self.tls[0]), "--tls-key", str(self.tls[1])]
        # The key goes through the environment: every user of the machine can read a command line.
        env = {"QMIG_EMBEDDED_API_KEY": self.api_key or ""}
        process = ChildProcess(command, name="the embedded Qdrant", env=env)
        self.url = process.wait_for_line("listening on ")
        self.port = int(self.url.rpartition(":")[2])
        return process
