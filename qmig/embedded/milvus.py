"""An embedded Milvus: Milvus Lite's server on loopback, installed in a folder of its own."""

from __future__ import annotations

import shutil
import sys
import time
from abc import abstractmethod
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar

import grpc

from qmig.embedded.child_process import ChildProcess, free_port
from qmig.embedded.server_process import ServerProcess
from qmig.errors import TerminalError
from qmig.sources.milvus.connection import SERVICE
from qmig.sources.milvus.messages import milvus

LOOPBACK = "127.0.0.1"
READY_SECONDS = 60.0
POLL_SECONDS = 0.05
# Every attempt connects anew: it does not share the pause after the attempt before.
OWN_CONNECTION = (("grpc.use_local_subchannel_pool", 1),)


class MilvusServer(ServerProcess):
    """A Milvus with its data in `directory`.

    Its packages are in a folder of their own in the virtual environment, because those of several servers conflict.
    After a restart the collections of Milvus Lite 3.2 and of the standalone server have to be loaded again.
    """

    stop_seconds = 15.0
    #: Name of its folder.
    kind: ClassVar[str]
    version: ClassVar[str]
    #: A file under `home` that exists where the server is installed.
    installed: ClassVar[str]
    #: How it runs, for the test report.
    notice: str

    def __init__(self, directory: Path) -> None:
        super().__init__(free_port())
        self.directory = directory
        self.notice = ""

    @classmethod
    def home(cls) -> Path:
        return Path(sys.prefix, "milvus", cls.kind)

    @classmethod
    def missing(cls) -> str:
        """Explain why this server is not installed; empty where it is."""
        path = cls.home() / cls.installed
        return "" if path.exists() else f"{path} is not there"

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the server and delete its data, which take a quarter of a gigabyte for a standalone server."""
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _launch(self) -> ChildProcess:
        self.directory.mkdir(parents=True, exist_ok=True)
        process = self._begin()
        deadline = time.monotonic() + READY_SECONDS
        while not self._answers():
            if not process.running:
                raise TerminalError(f"{process.name} ended as it started: {_end_of_log(process)}")
            if time.monotonic() > deadline:
                process.kill()
                raise TerminalError(
                    f"{process.name} was not ready within {READY_SECONDS:g} s: {_end_of_log(process)}"
                )
            time.sleep(POLL_SECONDS)
        return process

    @abstractmethod
    def _begin(self) -> ChildProcess:
        """Start the process, which may not answer yet."""

    def _channel(self) -> grpc.Channel:
        return grpc.insecure_channel(f"{LOOPBACK}:{self.port}", OWN_CONNECTION)

    def _answers(self) -> bool:
        with self._channel() as channel:
            check: Any = channel.unary_unary(f"{SERVICE}CheckHealth")
            try:
                answer = check(b"", timeout=2)
            except grpc.RpcError as error:
                return error.code() in (grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.UNAUTHENTICATED)
            return bool(milvus.CheckHealthResponse.FromString(answer).isHealthy)


def _end_of_log(process: ChildProcess) -> str:
    return (process.read_stdout() + process.read_stderr())[-500:]


class EmbeddedMilvus(MilvusServer):
    """`milvus-lite server`: written in Python, one process."""

    kind = "lite"
    version = "3.2.2"
    installed = "milvus_lite/__main__.py"

    def _begin(self) -> ChildProcess:
        command = [sys.executable, "-m", "milvus_lite", "server", "--data-dir", str(self.directory)]
        return ChildProcess(
            [*command, "--host", LOOPBACK, "--port", str(self.port)],
            name=f"Milvus Lite {self.version}",
            env={"PYTHONPATH": str(self.home())},
        )
