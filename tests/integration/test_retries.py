"""Workers wait for an unavailable server visibly, and for as long as `--retry-for` says."""

import os
import subprocess
import sys
from collections.abc import Iterator

import grpc
import pytest

from qmig.ledger.ledger import Ledger
from qmig.ledger.records import State
from qmig.qdrant.reader import SCROLL
from qmig.qdrant.writer import UPSERT
from tests.support.command import Run
from tests.support.ends import Ends
from tests.support.grpc_proxy import GrpcProxy, Refusal, Replies, nothing
from tests.support.migrations import arrived, fill_source
from tests.support.waiting import PATIENCE, until


@pytest.fixture
def proxies(ends: Ends) -> Iterator[dict[str, GrpcProxy]]:
    """In front of the source, whose scrolls it can refuse, and of the target."""
    with GrpcProxy(ends.source.endpoint) as source, GrpcProxy(ends.target.endpoint) as target:
        yield {SCROLL: source, UPSERT: target}


def unavailable(ends: Ends, refused: str) -> Replies:
    def refuse(path: str, request: bytes) -> Refusal | None:
        if path == refused and ends.ledger.encode() not in request:
            return Refusal(grpc.StatusCode.UNAVAILABLE, "unavailable for a test")
        return None

    return refuse


def fill_and_refuse(ends: Ends, proxies: dict[str, GrpcProxy], refused: str) -> list[str]:
    """Fill the source and refuse these calls; the arguments of a migration through the proxies."""
    fill_source(ends, 300)
    proxies[refused].reply = unavailable(ends, refused)
    return ends.through(proxies[SCROLL].url, proxies[UPSERT].url)


@pytest.mark.parametrize("refused", [SCROLL, UPSERT])
def test_a_wait_is_shown_in_the_chunk_and_cleared_afterwards(
    ends: Ends, proxies: dict[str, GrpcProxy], fleet: str, qmig: Run, refused: str
) -> None:
    arguments = fill_and_refuse(ends, proxies, refused)
    with subprocess.Popen(
        [sys.executable, "-m", "qmig", "qdrant", *arguments, "-c", "--chunk-size", "300"],
        env={**os.environ, "QMIG_BROKER_URL": fleet},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        until(lambda: "unavailable for a test" in qmig("status", *ends.where).stdout, "word of it in the status")
        proxies[refused].reply = nothing
        _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, errors
    assert arrived(ends)
    ledger = Ledger(ends.target, ends.ledger)
    (record,) = ledger.migrations()
    (chunk,) = ledger.chunks(record.migration, range(record.chunks))
    assert chunk.retries > 0
    assert chunk.retry_reasons == {f"{'source' if refused == SCROLL else 'target'} unavailable": chunk.retries}
    assert chunk.waiting is None


@pytest.mark.parametrize("refused", [SCROLL, UPSERT])
def test_after_the_time_that_was_asked_for_the_migration_stops_and_says_why(
    ends: Ends, proxies: dict[str, GrpcProxy], fleet: str, qmig: Run, refused: str
) -> None:
    arguments = fill_and_refuse(ends, proxies, refused)
    result = qmig("qdrant", *arguments, "-c", "--retry-for", "1s", broker=fleet)
    assert result.returncode == 1
    assert "unavailable for a test" in result.stderr
    ledger = Ledger(ends.target, ends.ledger)
    (record,) = ledger.migrations()
    assert record.state == State.STOPPED
    until(lambda: ledger.chunks(record.migration, [0])[0].state == State.PENDING, "the chunk being released")

    proxies[refused].reply = nothing
    result = qmig("qdrant", *arguments, "--retry-for", "1m", broker=fleet)
    assert result.returncode == 0, result.stderr
    assert arrived(ends)


@pytest.mark.parametrize("duration", ["soon", "-5", "10d", ""])
def test_what_is_no_duration_is_refused(ends: Ends, qmig: Run, duration: str) -> None:
    result = qmig("qdrant", *ends.arguments, f"--retry-for={duration}")
    assert result.returncode == 2
    assert "give seconds, or a value such as 90s, 10m, 2h" in result.stderr


def test_a_chunk_whose_end_could_not_be_recorded_counts_no_point_twice(
    ends: Ends, proxies: dict[str, GrpcProxy], fleet: str, qmig: Run
) -> None:
    fill_source(ends, 300)
    arguments = ends.through(proxies[SCROLL].url, proxies[UPSERT].url)

    def refuse(path: str, request: bytes) -> Refusal | None:
        if path.endswith("/SetPayload") and all(said in request for said in (b"seconds", b"done")):
            return Refusal(grpc.StatusCode.UNAVAILABLE, "unavailable for a test")
        return None

    proxies[UPSERT].reply = refuse
    result = qmig("qdrant", *arguments, "-c", "--chunk-size", "300", "-b", "50", "--retry-for", "1s", broker=fleet)
    assert result.returncode == 1, result.stderr

    proxies[UPSERT].reply = nothing
    result = qmig("qdrant", *arguments, "--retry-for", "1m", broker=fleet)
    assert result.returncode == 0, result.stderr
    assert "all 300 points are in the target" in result.stdout
    assert "fewer" not in result.stderr
    ledger = Ledger(ends.target, ends.ledger)
    (record,) = ledger.migrations()
    assert record.reconciliation is not None
    assert (record.reconciliation.read, record.expected) == (300, 300)
