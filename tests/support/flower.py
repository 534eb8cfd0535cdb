"""`qmig flower` as a process of its own."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from qmig.embedded.child_process import ChildProcess, free_port
from tests.support.connections import until_listening


@contextmanager
def flower_process(*options: str, env: Mapping[str, str]) -> Iterator[str]:
    """A Flower that listens; its URL on loopback. What it said is shown where the test fails."""
    port = free_port()
    command = [sys.executable, "-m", "qmig", "flower", "--port", str(port), *options]
    process = ChildProcess(command, name="flower", env=env)
    try:
        until_listening(port, process)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.stop()
        print(process.read_stderr())
