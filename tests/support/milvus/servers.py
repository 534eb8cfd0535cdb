"""Milvus servers besides the embedded one, on loopback: Milvus Lite 2.5 and the standalone server 2.3.

`make test` puts each into its folder. Run as a script, this file starts the standalone server in a network of its
own; see `StandaloneServer`.
"""

from __future__ import annotations

import ctypes
import fcntl
import importlib
import os
import signal
import socket
import struct
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import ClassVar

import grpc

from qmig.embedded.child_process import ChildProcess
from qmig.embedded.milvus import LOOPBACK, OWN_CONNECTION, READY_SECONDS, EmbeddedMilvus, MilvusServer

# The libraries of that wheel are for its executable alone: no other program starts among them.
OLDER_LITE_START = 'cd "$0" && export LD_LIBRARY_PATH="$1" DYLD_LIBRARY_PATH="$1" && shift && exec "$@"'


class OlderLiteServer(MilvusServer):
    """The executable that `milvus_lite.server.Server(path, address)` runs; without that wrapper it is one process."""

    kind = "lite-2.5"
    version = "2.5.1"
    installed = "milvus_lite/lib/milvus"

    def _begin(self) -> ChildProcess:
        executable = self.home() / self.installed
        command = [str(executable), str(self.directory / "milvus.db"), f"{LOOPBACK}:{self.port}", "ERROR"]
        return ChildProcess(
            ["/bin/sh", "-c", OLDER_LITE_START, str(self.directory), str(executable.parent), *command],
            name=f"Milvus Lite {self.version}",
        )


class StandaloneServer(MilvusServer):
    """The standalone server of the `milvus` wheel.

    It listens on every interface whatever it is told, so it runs in a network namespace of its own where the kernel
    lets this user make one, behind a forwarder that listens on loopback outside and connects to loopback inside.
    Elsewhere it runs as it is, and `notice` says so. The executable is started without its Python wrapper, which
    may outlive SIGTERM, and dies with the forwarder.
    """

    kind = "standalone"
    version = "2.3.5"
    installed = "milvus/data/config.yaml.template"

    # A graceful stop waits for other nodes to take the data over, half an hour; a start after it, and after a kill,
    # waits until the sessions of the former process have expired.
    defaults: ClassVar[Mapping[str, object]] = {"common.gracefulStopTimeout": 2, "common.session.ttl": 10}

    def __init__(
        self, directory: Path, settings: Mapping[str, object] | None = None, tls: tuple[Path, Path] | None = None
    ) -> None:
        """`settings` by their dotted names in milvus.yaml; `tls` are the PEM files of a certificate and its key."""
        super().__init__(directory)
        self.tls = tls
        self._settings = {**self.defaults, **(settings or {})}
        if tls is not None:
            certificate, key = tls
            self._settings |= {
                "common.security.tlsMode": 1,
                "tls.serverPemPath": certificate,
                "tls.serverKeyPath": key,
            }

    @property
    def url(self) -> str:
        return super().url if self.tls is None else f"https://{LOOPBACK}:{self.port}"

    def _channel(self) -> grpc.Channel:
        if self.tls is None:
            return super()._channel()
        # The certificate itself is the one that is trusted.
        trusted = grpc.ssl_channel_credentials(self.tls[0].read_bytes())
        return grpc.secure_channel(f"{LOOPBACK}:{self.port}", trusted, OWN_CONNECTION)

    def _begin(self) -> ChildProcess:
        settings = [f"{name}={_yaml(value)}" for name, value in self._settings.items()]
        process = ChildProcess(
            [sys.executable, __file__, str(self.home()), str(self.directory), str(self.port), *settings],
            name=f"Milvus {self.version}",
        )
        self.notice = process.wait_for_line("notice:", READY_SECONDS)
        return process


def _yaml(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


class GivenServer(MilvusServer):
    """A server that is there already and is neither started nor stopped."""

    kind = "given"
    version = ""
    installed = ""

    def __init__(self, url: str) -> None:
        super().__init__(Path())
        self._url = url

    @property
    def url(self) -> str:
        return self._url

    def start(self) -> GivenServer:
        """Do nothing: the server is running."""
        return self

    def __exit__(self, *_: object) -> None:
        """Do nothing: the server keeps running."""

    def _begin(self) -> ChildProcess:
        raise AssertionError("a given server is not started")


KINDS: tuple[type[MilvusServer], ...] = (EmbeddedMilvus, OlderLiteServer, StandaloneServer)


# What follows runs in the standalone server's own process.

CLONE_NEWNET = 0x40000000
CLONE_NEWUSER = 0x10000000
PR_SET_PDEATHSIG = 1
SIOCSIFFLAGS = 0x8914
IFF_UP_AND_RUNNING = 0x41


def _enter_own_network() -> None:
    """Leave the host's network for an empty one with loopback up. Raises OSError where this user may not."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET) and libc.unshare(CLONE_NEWUSER | CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP_AND_RUNNING))


def _why_not_contained() -> str:
    """Tried in a child, because a network once left may not be entered again."""
    if sys.platform != "linux":
        return "this system has no network namespaces"
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            _enter_own_network()
        except OSError as error:
            os.write(writing, str(error).encode())
        os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with open(reading, "rb") as answer:
        return answer.read().decode()


def _prepare(
    home: Path, directory: Path, proxy_port: int, settings: Mapping[str, str]
) -> tuple[Path, dict[str, str]]:
    """Write the configuration, unpack the executable; the executable and its environment."""
    sys.path.insert(0, str(home))
    package = importlib.import_module("milvus")
    config = package.MilvusServerConfig(data_dir=str(directory), proxy_port=proxy_port)
    for name, value in settings.items():
        config.set(name, value)
    config.resolve()
    metrics_port, taken = config.resolve_port(9091)
    taken.close()
    with open(home / "unpacking", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        package._initialize_data_files(str(home / "unpacked"))
    executable = home / "unpacked" / "bin" / "milvus"
    environment = {
        **os.environ,
        "DEPLOY_MODE": "STANDALONE",
        "METRICS_PORT": str(metrics_port),
        "MILVUS_RUN_DIR": str(directory / "run"),
        "LD_LIBRARY_PATH": str(executable.parent),
    }
    return executable, environment


def _forward(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 18):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


def _forward_all(listener: socket.socket, inner_port: int) -> None:
    while True:
        outer, _ = listener.accept()
        try:
            inner = socket.create_connection((LOOPBACK, inner_port))
        except OSError:
            outer.close()
            continue
        for end in (outer, inner):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=_forward_both_ways, args=(outer, inner), daemon=True).start()


def _forward_both_ways(outer: socket.socket, inner: socket.socket) -> None:
    with outer, inner:
        back = threading.Thread(target=_forward, args=(inner, outer), daemon=True)
        back.start()
        _forward(outer, inner)
        back.join()


def _spawn(executable: Path, environment: Mapping[str, str], directory: Path) -> int:
    """The server as a child that gets SIGKILL when this process ends."""
    parent = os.getpid()
    child = os.fork()
    if child:
        return child
    with suppress(BaseException):
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() == parent:
            os.chdir(directory)
            os.execve(executable, [str(executable), "run", "standalone"], environment)
    os._exit(1)


def main(home: Path, directory: Path, port: int, settings: Mapping[str, str]) -> int:
    """Run the standalone server until SIGTERM; its exit status."""
    why_not = _why_not_contained()
    listener = None
    if not why_not:
        listener = socket.create_server((LOOPBACK, port), backlog=128)
        _enter_own_network()
    executable, environment = _prepare(home, directory, port, settings)
    child = _spawn(executable, environment, directory)

    def end(_signal: int, _frame: FrameType | None) -> None:
        os.kill(child, signal.SIGTERM)

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    print(f"notice: {why_not and f'listens on every interface: {why_not}'}", flush=True)
    if listener is not None:
        threading.Thread(target=_forward_all, args=(listener, port), daemon=True).start()
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    pairs = (argument.partition("=") for argument in sys.argv[4:])
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), {name: value for name, _, value in pairs}))
