"""A worker is gone when its process is, or when it has given no sign of life for as long as a lease lasts."""

import subprocess
import sys
from dataclasses import replace

import psutil

from qmig.ledger.lease import LEASE_SECONDS
from qmig.ledger.owner import new_owner
from qmig.ledger.records import ChunkRecord, State
from qmig.ledger.stalled import StalledChunks

ELSEWHERE = ChunkRecord(
    "m", 3, None, None, None, expected=100, state=State.RUNNING, owner="other/7/1.00/machine/a", heartbeat=4
)


def test_one_that_beats_is_there() -> None:
    vigil = StalledChunks()

    for second in range(60):
        assert vigil.find([replace(ELSEWHERE, heartbeat=second)], float(second)) == []


def test_a_beat_that_stands_still_for_a_lease() -> None:
    vigil = StalledChunks()

    assert vigil.find([ELSEWHERE], 100.0) == []
    assert vigil.find([ELSEWHERE], 100.0 + LEASE_SECONDS - 0.1) == []
    assert vigil.find([ELSEWHERE], 100.0 + LEASE_SECONDS) == [ELSEWHERE]
    taken = replace(ELSEWHERE, owner="other/8/2.00/machine/b")
    assert vigil.find([taken], 100.0 + LEASE_SECONDS) == []


def test_a_process_of_this_machine_is_known_at_the_second_look() -> None:
    command = [sys.executable, "-c", "from qmig.ledger.owner import new_owner; print(new_owner())"]
    owner = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    dead, alive = replace(ELSEWHERE, owner=owner), replace(ELSEWHERE, index=4, owner=new_owner())
    assert not psutil.pid_exists(int(owner.split("/")[1]))
    vigil = StalledChunks()

    assert vigil.find([dead, alive], 0.0) == []
    assert vigil.find([dead, alive], 2.0) == [dead]
