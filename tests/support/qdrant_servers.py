"""Qdrant servers that a test may kill and start again.

$QMIG_TEST_QDRANT names the executable of a real Qdrant; without it they are embedded endpoints.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from qmig.embedded.child_process import ChildProcess, free_port
from qmig.embedded.qdrant.process import EmbeddedQdrant
from qmig.embedded.server_process import ServerProcess
from tests.support.connections import until_serving

SOURCE_VARIABLE = "QMIG_TEST_SOURCE_QDRANT"
TARGET_VARIABLE = "QMIG_TEST_TARGET_QDRANT"
EXECUTABLE_VARIABLE = "QMIG_TEST_QDRANT"


class RealQdrant(ServerProcess):
    """A Qdrant from an executable, with settings of its configuration such as `STORAGE__COLLECTION__SHARD_NUMBER`."""

    def __init__(self, executable: str, path: Path, settings: Mapping[str, str] | None = None) -> None:
        super().__init__(free_port())
        self._executable = executable
        self._path = path
        self._http_port = free_port()
        self._settings = dict(settings or {})

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def _arguments(self) -> Sequence[str]:
        """The arguments of the executable."""
        return ()

    def _launch(self) -> ChildProcess:
        self._path.mkdir(parents=True, exist_ok=True)
        settings = {
            "SERVICE__HOST": "127.0.0.1",
            "SERVICE__GRPC_PORT": str(self.port),
            "SERVICE__HTTP_PORT": str(self._http_port),
            "STORAGE__STORAGE_PATH": str(self._path / "storage"),
            "STORAGE__SNAPSHOTS_PATH": str(self._path / "snapshots"),
            "TELEMETRY_DISABLED": "true",
            **self._settings,
        }
        env = {f"QDRANT__{name}": value for name, value in settings.items()}
        command = ["env", "-C", str(self._path), self._executable, *self._arguments]
        process = ChildProcess(command, name="Qdrant", env=env)
        until_serving(self.url, process)
        return process


Qdrant = EmbeddedQdrant | RealQdrant


def qdrant_in(path: Path) -> Qdrant:
    """A server with its data in `path`; started, killed and started again it keeps its port."""
    real = os.environ.get(EXECUTABLE_VARIABLE)
    return RealQdrant(real, path) if real else EmbeddedQdrant(path, free_port())


def executable() -> str:
    """The executable of a real Qdrant; skips the test where there is none."""
    path = os.environ.get(EXECUTABLE_VARIABLE)
    if not path:
        pytest.skip(f"needs a real Qdrant: set ${EXECUTABLE_VARIABLE} to its executable")
    return path
