"""A full disk on the target stops a migration with a clear error; with more space the same command resumes."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import grpc
import pytest

from qmig.migration import Endpoint
from qmig.qdrant.server import Server
from tests.support.command import Run
from tests.support.fault_servers import DisturbedEnds
from tests.support.grpc_proxy import Refusal
from tests.support.migrations import LEISURELY, SLOWLY, arrived, finish, start, until_copied
from tests.support.qdrant_servers import qdrant_in
from tests.support.scripted_proxy import Answering

DISK = "512m"
LEFT_FREE = 48 * 2**20
# A real server answers every write like this (measured on 1.18.3), also those of the ledger.
FULL = Refusal(
    grpc.StatusCode.INTERNAL,
    "Service internal error: No space left on device: WAL buffer size exceeds available disk space",
)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a small file system; skip the test where that is not allowed."""
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "none", str(tmp_path)],
        check=False,
        capture_output=True,
        text=True,
    )
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    yield tmp_path
    subprocess.run(["umount", str(tmp_path)], check=True)


@pytest.fixture
def ends_on_small_disk(disturbed: DisturbedEnds, small_disk: Path) -> Iterator[DisturbedEnds]:
    with ExitStack() as stack:
        server = qdrant_in(small_disk / "qdrant")
        stack.callback(server.stop)
        server.start()
        target = stack.enter_context(Server(Endpoint.parse(server.url, "target"), "target"))
        yield replace(disturbed, target=target, target_url=server.url)


def fill_up(directory: Path) -> None:
    """Fill nearly all the free space with other data."""
    with (directory / "ballast").open("wb") as file:
        file.write(bytes(shutil.disk_usage(directory).free - LEFT_FREE))


def test_a_full_disk_stops_the_migration_and_it_resumes_with_space(
    ends_on_small_disk: DisturbedEnds, small_disk: Path, qmig: Run
) -> None:
    ends = ends_on_small_disk
    # It takes a while to fill a disk up.
    running = start(ends, *LEISURELY, "--workers", "2")
    until_copied(ends, 500)
    fill_up(small_disk)

    finish(running, 1)
    error = running.read_stderr().splitlines()[-1]
    assert error.startswith("Error: ")
    assert "No space left on device" in error
    assert "the same command resumes" in error

    (small_disk / "ballast").unlink()
    result = qmig("qdrant", *ends.arguments, *SLOWLY)
    assert result.returncode == 0, result.stderr
    assert arrived(ends)


def test_ledger_that_cannot_be_written_stops_the_migration(
    refused: DisturbedEnds, target_answers: Answering, qmig: Run
) -> None:
    running = start(refused, *LEISURELY, "--workers", "2")
    until_copied(refused, 500)
    target_answers.answer("SetPayload", FULL, 1_000_000, refused.ledger)
    target_answers.answer("Upsert", FULL, 1_000_000, refused.target_name)

    finish(running, 1)
    error = running.read_stderr().splitlines()[-1]
    assert f"target {target_answers.url}: {FULL.details}" in error
    assert "the same command resumes" in error

    target_answers.restore()
    result = qmig("qdrant", *refused.arguments, *SLOWLY)
    assert result.returncode == 0, result.stderr
    assert arrived(refused)
