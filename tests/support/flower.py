"""`qmig flower` as a process of its own."""

import json
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from qmig.embedded.ports import free_port
from qmig.embedded.processes import ChildProcess
from tests.support.connections import until_listening
from tests.support.waiting import PATIENCE


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


def tasks(flower: str) -> list[dict[str, Any]]:
    """What the API of the Flower at this URL lists."""
    with urllib.request.urlopen(f"{flower}/api/tasks", timeout=PATIENCE) as answer:
        found: dict[str, dict[str, Any]] = json.load(answer)
    return list(found.values())
