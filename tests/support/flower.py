"""`qmig flower` as a process of its own."""

import socket
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from qmig.embedded.ports import free_port
from qmig.embedded.processes import ChildProcess

PATIENCE = 60.0


@contextmanager
def flower_process(*options: str, env: Mapping[str, str]) -> Iterator[str]:
    """A Flower that listens; its URL on loopback."""
    port = free_port()
    command = [sys.executable, "-m", "qmig", "flower", "--port", str(port), *options]
    process = ChildProcess(command, name="flower", env=env)
    try:
        until_listening(process, port)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.stop()


def until_listening(process: ChildProcess, port: int) -> None:
    """Wait until the Flower answers at its port."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except ConnectionRefusedError:
            assert process.running, process.read_stderr()
            assert time.monotonic() < deadline, f"Flower does not listen within {PATIENCE:g} s"
            time.sleep(0.1)
        else:
            return
