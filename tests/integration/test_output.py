"""Outputs: a full disk, a terminal that cannot be redrawn, a narrow terminal."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.command import Run
from tests.support.ends import Ends
from tests.support.migrations import SLOWLY, fill_source

FULL = Path("/dev/full")


@pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")
def test_an_output_that_takes_no_more_is_one_line_and_a_status(ends: Ends, migrate: Run) -> None:
    fill_source(ends, 100)
    assert migrate("-c").returncode == 0

    for command in (["list", *ends.where], ["status", *ends.where, "--json"], ["secret"]):
        with FULL.open("w") as full:
            result = subprocess.run(
                [sys.executable, "-m", "qmig", *command], stdout=full, stderr=subprocess.PIPE, text=True, check=False
            )
        assert result.returncode == 1
        assert "Error: the output cannot be written: No space left on device" in result.stderr.splitlines()
        assert "Traceback" not in result.stderr


def test_a_terminal_that_cannot_be_redrawn_gets_lines(ends: Ends, fleet: str) -> None:
    fill_source(ends, 1500)
    leader, follower = pty.openpty()
    environment = {**os.environ, "TERM": "dumb", "QMIG_BROKER_URL": fleet}
    command = [sys.executable, "-m", "qmig", "qdrant", *ends.arguments, *SLOWLY]

    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=follower, env=environment) as running:
        os.close(follower)
        shown = b""
        # Reading from a terminal that no process has open is an error.
        while running.poll() is None or b"planned" not in shown:
            try:
                shown += os.read(leader, 65536)
            except OSError:
                break
        os.close(leader)

    assert running.returncode == 0
    lines = shown.decode().splitlines()
    assert any("points/s" in line and "chunks:" in line for line in lines), lines
    assert b"\x1b" not in shown
