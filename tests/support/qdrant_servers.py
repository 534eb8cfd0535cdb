"""Qdrant servers that a test may kill and start again.

$QMIG_TEST_QDRANT names the executable of a real Qdrant; without it they are embedded endpoints.
"""

from __future__ import annotations

import os
from pathlib import Path

from qmig.embedded.child_process import ChildProcess, free_port
from qmig.embedded.qdrant.process import EmbeddedQdrant
from qmig.embedded.server_process import ServerProcess
from tests.support.connections import until_serving

SOURCE_VARIABLE = "QMIG_TEST_SOURCE_QDRANT"
TARGET_VARIABLE = "QMIG_TEST_TARGET_QDRANT"
EXECUTABLE_VARIABLE = "QMIG_TEST_QDRANT"


class RealQdrant(ServerProcess):
    """A Qdrant from an executable."""

    def __init__(self, executable: str, path: Path) -> None:
        super().__init__(free_port())
        self._executable = executable
        self._path = path
        self._http_port = free_port()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def _launch(self) -> ChildProcess:
        self._path.mkdir(parents=True, exist_ok=True)
        settings = {
            "SERVICE__HOST": "127.0.0.1",
            "SERVICE__GRPC_PORT": str(self.port),
            "SERVICE__HTTP_PORT": str(self._http_port),
            "STORAGE__STORAGE_PATH": str(self._path / "storage"),
            "STORAGE__SNAPSHOTS_PATH": str(self._path / "snapshots"),
            "TELEMETRY_DISABLED": "true",
        }
        env = {f"QDRANT__{name}": value for name, value in settings.items()}
        process = ChildProcess(["env", "-C", str(self._path), self._executable], name="Qdrant", env=env)
        until_serving(self.url, process)
        return process


Qdrant = EmbeddedQdrant | RealQdrant


def qdrant_in(path: Path) -> Qdrant:
    """A server with its data in `path`; started, killed and started again it keeps its port."""
    executable = os.environ.get(EXECUTABLE_VARIABLE)
    return RealQdrant(executable, path) if executable else EmbeddedQdrant(path, free_port())
