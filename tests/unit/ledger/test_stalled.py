"""A chunk is stalled when its worker's process has ended, or has sent no heartbeat for a lease."""

import subprocess
import sys
from dataclasses import replace

import psutil

from qmig.ledger.lease import LEASE_SECONDS
from qmig.ledger.owner import Owner
from qmig.ledger.records import ChunkRecord, State
from qmig.ledger.stalled import StalledChunks

ELSEWHERE = ChunkRecord(
    "m", 3, None, None, None, expected=100, state=State.RUNNING, owner="other/7/1.00/machine/a", heartbeat=4
)


def test_a_chunk_with_heartbeats_is_not_stalled() -> None:
    stalled = StalledChunks()

    for second in range(60):
        assert stalled.find([replace(ELSEWHERE, heartbeat=second)], float(second)) == []


def test_a_heartbeat_that_stands_still_for_a_lease() -> None:
    stalled = StalledChunks()

    assert stalled.find([ELSEWHERE], 100.0) == []
    assert stalled.find([ELSEWHERE], 100.0 + LEASE_SECONDS - 0.1) == []
    assert stalled.find([ELSEWHERE], 100.0 + LEASE_SECONDS) == [ELSEWHERE]
    taken = replace(ELSEWHERE, owner="other/8/2.00/machine/b")
    assert stalled.find([taken], 100.0 + LEASE_SECONDS) == []


def test_a_process_of_this_machine_is_known_dead_before_its_lease_expires() -> None:
    command = [sys.executable, "-c", "from qmig.ledger.owner import Owner; print(Owner.new())"]
    owner = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    dead, alive = replace(ELSEWHERE, owner=owner), replace(ELSEWHERE, index=4, owner=str(Owner.new()))
    assert not psutil.pid_exists(Owner.parse(owner).pid)
    stalled = StalledChunks()

    assert stalled.find([dead, alive], 0.0) == []
    assert stalled.find([dead, alive], 2.0) == [dead]
