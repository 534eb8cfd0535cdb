"""`qmig flower` as a process."""

import base64
import json
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from qmig.embedded.child_process import ChildProcess, free_port
from tests.support.connections import until_listening
from tests.support.waiting import PATIENCE, until


@contextmanager
def flower_process(*options: str, env: Mapping[str, str]) -> Iterator[str]:
    """Run a Flower, and yield its URL. Its log is shown if the test fails."""
    port = free_port()
    command = [sys.executable, "-m", "qmig", "flower", "--port", str(port), *options]
    process = ChildProcess(command, name="flower", env=env)
    try:
        until_listening(port, process)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.stop()
        print(process.read_stderr())


def read_page(url: str, login: str | None = None) -> str:
    """Read a page of Flower; `login` is a user and a password with a colon between them."""
    request = urllib.request.Request(url)
    if login is not None:
        request.add_header("Authorization", "Basic " + base64.b64encode(login.encode()).decode())
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        return str(answer.read().decode())


def until_it_hears(flower: str, login: str | None = None) -> None:
    """Wait until the Flower at this URL gets the workers' events: it never learns of earlier events."""
    until(lambda: "flower_worker_online" in read_page(f"{flower}/metrics", login), "Flower hearing of a worker")


def tasks(flower: str) -> list[dict[str, Any]]:
    """The tasks in the API of the Flower at this URL."""
    found: dict[str, dict[str, Any]] = json.loads(read_page(f"{flower}/api/tasks"))
    return list(found.values())
