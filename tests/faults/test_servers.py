"""The source or the target dies in the middle of a batch, and restarts with its data."""

import pytest

from tests.support.command import Run
from tests.support.fault_servers import DisturbedEnds, FaultServers
from tests.support.migrations import (
    LEISURELY,
    SLOWLY,
    arrived,
    chunks_of,
    copied,
    finish,
    own_fleet,
    start,
    until_copied,
)
from tests.support.waiting import until


@pytest.mark.parametrize("role", ["source", "target"])
def test_server_killed_and_started_again(disturbed: DisturbedEnds, fault_servers: FaultServers, role: str) -> None:
    server = fault_servers.servers[role]
    with own_fleet() as (redis, workers):
        running = start(disturbed, *SLOWLY, broker=redis.url)
        until_copied(disturbed, 500)
        server.kill()
        until(lambda: f"{role} " in workers.read_stderr(), "word of it")
        server.start()
        finish(running)
    assert arrived(disturbed)


@pytest.mark.parametrize("role", ["source", "target"])
def test_server_told_to_end_and_started_again(
    disturbed: DisturbedEnds, fault_servers: FaultServers, role: str
) -> None:
    server = fault_servers.servers[role]
    running = start(disturbed, *SLOWLY, "--workers", "2")
    until_copied(disturbed, 500)
    server.stop()
    server.start()
    finish(running)
    assert arrived(disturbed)


def test_everything_killed_at_once(disturbed: DisturbedEnds, fault_servers: FaultServers, qmig: Run) -> None:
    running = start(disturbed, *LEISURELY, "--workers", "2")
    until_copied(disturbed, 1000)
    running.kill()
    fault_servers.servers["source"].kill()
    fault_servers.servers["target"].kill()

    fault_servers.restore()

    assert copied(disturbed) >= 1000
    result = qmig("qdrant", *disturbed.arguments, *SLOWLY)
    assert result.returncode == 0, result.stderr
    assert arrived(disturbed)
    assert all(chunk.state == "done" for chunk in chunks_of(disturbed))
