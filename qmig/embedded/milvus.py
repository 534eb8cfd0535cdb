"""An embedded Milvus: Milvus Lite's server on loopback, out of a folder of its own."""

from __future__ import annotations

import shutil
import sys
import time
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self

import grpc

from qmig.embedded.ports import free_port
from qmig.embedded.processes import ChildProcess
from qmig.errors import TerminalError
from qmig.sources.milvus.connection import SERVICE
from qmig.sources.milvus.messages import milvus

LOOPBACK = "127.0.0.1"
READY_SECONDS = 60.0
POLL_SECONDS = 0.05
STOP_SECONDS = 15.0


class MilvusServer(ABC):
    """A server process with data and a port that outlive a stop, so that `start` goes on where it was.

    The process ends with this one, however this one ends (Linux). Its packages lie in a folder of their own in the
    virtual environment, because those of several servers conflict.
    """

    kind: ClassVar[str]
    """The folder's name."""
    version: ClassVar[str]
    installed: ClassVar[str]
    """The file, under `home`, without which there is no such server."""
    notice: str
    """What is to be known of how it runs."""

    def __init__(self, directory: Path) -> None:
        """Nothing runs yet."""
        self.directory = directory
        self.port = free_port()
        self.notice = ""
        self._process: ChildProcess | None = None

    @classmethod
    def home(cls) -> Path:
        return Path(sys.prefix, "milvus", cls.kind)

    @classmethod
    def missing(cls) -> str:
        """Why there is no such server here; empty where there is one."""
        path = cls.home() / cls.installed
        return "" if path.exists() else f"{path} is not there"

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None, "not started"
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.running

    def start(self) -> None:
        """Start the process and wait until it answers; raises TerminalError where it does not.

        After a restart the collections of Milvus Lite 3.2 and of the standalone server have to be loaded again.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        self._process = self._launch()
        self._wait_until_ready(self._process)

    def stop(self) -> None:
        """End it in its own way, in at most 15 s."""
        if self._process is not None:
            self._process.stop(STOP_SECONDS)

    def kill(self) -> None:
        """SIGKILL."""
        if self._process is not None:
            self._process.kill()

    def log(self) -> str:
        """What the process has printed."""
        return self._process.read_stdout() + self._process.read_stderr() if self._process is not None else ""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """The data go, too: a standalone server's take a quarter of a gigabyte."""
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    @abstractmethod
    def _launch(self) -> ChildProcess: ...

    def _wait_until_ready(self, process: ChildProcess) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while not self._answers():
            if not process.running:
                raise TerminalError(f"{process.name} ended as it started: {self.log()[-500:]}")
            if time.monotonic() > deadline:
                process.kill()
                raise TerminalError(f"{process.name} was not ready within {READY_SECONDS:g} s: {self.log()[-500:]}")
            time.sleep(POLL_SECONDS)

    def _channel(self) -> grpc.Channel:
        return grpc.insecure_channel(f"{LOOPBACK}:{self.port}")

    def _answers(self) -> bool:
        with self._channel() as channel:
            check: Any = channel.unary_unary(f"{SERVICE}CheckHealth")
            try:
                answer = check(b"", timeout=2)
            except grpc.RpcError as error:
                return error.code() in (grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.UNAUTHENTICATED)
            return bool(milvus.CheckHealthResponse.FromString(answer).isHealthy)


class EmbeddedMilvus(MilvusServer):
    """`milvus-lite server`: written in Python, one process."""

    kind = "lite"
    version = "3.2.2"
    installed = "milvus_lite/__main__.py"

    def _launch(self) -> ChildProcess:
        command = [sys.executable, "-m", "milvus_lite", "server", "--data-dir", str(self.directory)]
        return ChildProcess(
            [*command, "--host", LOOPBACK, "--port", str(self.port)],
            name=f"Milvus Lite {self.version}",
            env={"PYTHONPATH": str(self.home())},
        )
