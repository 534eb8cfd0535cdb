"""A stock Flower shows the fleet's chunks as tasks that a person can read, with live progress."""

import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from qmig.embedded.child_process import ChildProcess
from tests.support.ends import Ends
from tests.support.flower import flower_process, tasks, until_it_hears
from tests.support.migrations import fill_source, finish
from tests.support.waiting import until


@pytest.fixture
def flower(fleet: str) -> Iterator[str]:
    """Run `qmig flower` on the shared fleet, and yield its URL."""
    with flower_process(env={"QMIG_BROKER_URL": fleet, "FLOWER_UNAUTHENTICATED_API": "true"}) as url:
        yield url


def wait_for_task(flower: str, **fields: str) -> dict[str, Any]:
    """The first task that has these fields."""

    def first() -> dict[str, Any] | None:
        return next((task for task in tasks(flower) if fields.items() <= task.items()), None)

    found = until(first, f"a task with {fields}")
    assert found is not None
    return found


def test_chunks_are_readable_tasks_with_live_progress(flower: str, fleet: str, ends: Ends) -> None:
    fill_source(ends, 2000)
    until_it_hears(flower)
    command = [sys.executable, "-m", "qmig", "qdrant", *ends.arguments, "-c"]
    command += ["--chunk-size", "1000", "-b", "10", "--batch-delay", "60"]
    migration = ChildProcess(command, name="qmig qdrant", env={"QMIG_BROKER_URL": fleet})

    title = f"{ends.source_name} → {ends.target_name}"
    running = wait_for_task(flower, args=title, state="PROGRESS")
    done = wait_for_task(flower, args=title, state="SUCCESS")

    assert running["name"] == "migrate_chunk"
    assert running["kwargs"].startswith("chunk ")
    assert "/2 · ids " in running["kwargs"]
    assert "points" in running["result"]
    assert "/s" in running["result"]
    assert "points" in done["result"]
    assert "MB" in done["result"]
    finish(migration)


def test_flower_listens_on_loopback_only_and_its_api_is_closed(fleet: str) -> None:
    with flower_process(env={"QMIG_BROKER_URL": fleet, "FLOWER_UNAUTHENTICATED_API": ""}) as url:
        with pytest.raises(urllib.error.HTTPError, match="401"):
            tasks(url)
        port = int(url.rpartition(":")[2])
        with open("/proc/self/net/tcp", encoding="ascii") as file:
            listening = [line.split()[1] for line in file if line.split()[3] == "0A"]
        addresses = {entry.split(":")[0] for entry in listening if int(entry.split(":")[1], 16) == port}
        assert addresses == {"0100007F"}
