"""A server that is away for a while is waited for, visibly, and for as long as was asked."""

import os
import subprocess
import sys
from collections.abc import Iterator

import grpc
import pytest

from qmig.ledger import Ledger
from qmig.records import State
from tests.conftest import Ends, Run
from tests.contents import contents, create, dense_params, fill, simple_points
from tests.integration.test_rejects import through, wait_until
from tests.wire_proxy import SCROLL, UPSERT, Refusal, WireProxy


@pytest.fixture
def proxies(ends: Ends) -> Iterator[dict[str, WireProxy]]:
    """In front of the source, whose scrolls it can refuse, and of the target."""
    with WireProxy(ends.source.endpoint) as source, WireProxy(ends.target.endpoint) as target:
        yield {SCROLL: source, UPSERT: target}


def away(ends: Ends, refused: str) -> object:
    def refuse(path: str, request: bytes) -> Refusal | None:
        if path == refused and ends.ledger.encode() not in request:
            return grpc.StatusCode.UNAVAILABLE, "away for a test"
        return None

    return refuse


def fill_and_refuse(ends: Ends, proxies: dict[str, WireProxy], refused: str) -> list[str]:
    """Fill the source and refuse these calls; the arguments of a migration through the proxies."""
    create(ends.source, ends.source_name, dense_params())
    fill(ends.source, ends.source_name, simple_points(300))
    proxies[refused].refuse = away(ends, refused)
    return through(ends, proxies[SCROLL].url, proxies[UPSERT].url)


@pytest.mark.parametrize("refused", [SCROLL, UPSERT])
def test_a_wait_is_shown_in_the_chunk_and_gone_when_it_is_over(
    ends: Ends, proxies: dict[str, WireProxy], fleet: str, qmig: Run, refused: str
) -> None:
    arguments = fill_and_refuse(ends, proxies, refused)
    with subprocess.Popen(
        [sys.executable, "-m", "qmig", "qdrant", *arguments, "-c", "--chunk-size", "300"],
        env={**os.environ, "QMIG_BROKER_URL": fleet},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        where = ("--target-url", ends.target.endpoint.url, "--migration-offsets-collection-name", ends.ledger)
        wait_until(lambda: "away for a test" in qmig("status", *where).stdout)
        proxies[refused].refuse = lambda _path, _request: None
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert contents(ends.target, ends.target_name) == contents(ends.source, ends.source_name)
    ledger = Ledger(ends.target, ends.ledger)
    (record,) = ledger.migrations()
    (chunk,) = ledger.chunks(record.migration, range(record.chunks))
    assert chunk.retries > 0
    assert chunk.retry_reasons == {f"{'source' if refused == SCROLL else 'target'} unavailable": chunk.retries}
    assert chunk.waiting is None


@pytest.mark.parametrize("refused", [SCROLL, UPSERT])
def test_after_the_time_that_was_asked_for_the_chunk_fails_and_says_why(
    ends: Ends, proxies: dict[str, WireProxy], fleet: str, qmig: Run, refused: str
) -> None:
    arguments = fill_and_refuse(ends, proxies, refused)
    result = qmig("qdrant", *arguments, "-c", "--retry-for", "1s", broker=fleet)
    assert result.returncode == 1
    assert "away for a test" in result.stderr
    ledger = Ledger(ends.target, ends.ledger)
    (record,) = ledger.migrations()
    assert record.state == State.FAILED

    proxies[refused].refuse = lambda _path, _request: None
    result = qmig("qdrant", *arguments, "--retry-for", "1m", broker=fleet)
    assert result.returncode == 0, result.stderr
    assert contents(ends.target, ends.target_name) == contents(ends.source, ends.source_name)


@pytest.mark.parametrize("duration", ["soon", "-5", "10d", ""])
def test_what_is_no_duration_is_refused(ends: Ends, qmig: Run, duration: str) -> None:
    result = qmig("qdrant", *ends.arguments, f"--retry-for={duration}")
    assert result.returncode == 2
    assert "give seconds, or 90s, 10m, 2h" in result.stderr


def test_a_chunk_whose_end_could_not_be_recorded_counts_no_point_twice(
    ends: Ends, proxies: dict[str, WireProxy], fleet: str, qmig: Run
) -> None:
    create(ends.source, ends.source_name, dense_params())
    fill(ends.source, ends.source_name, simple_points(300))
    arguments = through(ends, proxies[SCROLL].url, proxies[UPSERT].url)

    def refuse(path: str, request: bytes) -> Refusal | None:
        if path.endswith("/SetPayload") and all(said in request for said in (b"seconds", b"done")):
            return grpc.StatusCode.UNAVAILABLE, "away for a test"
        return None

    proxies[UPSERT].refuse = refuse
    result = qmig("qdrant", *arguments, "-c", "--chunk-size", "300", "-b", "50", "--retry-for", "1s", broker=fleet)
    assert result.returncode == 1, result.stderr

    proxies[UPSERT].refuse = lambda _path, _request: None
    result = qmig("qdrant", *arguments, "--retry-for", "1m", broker=fleet)
    assert result.returncode == 0, result.stderr
    assert "all 300 points are in the target" in result.stdout
    assert "fewer" not in result.stderr
    ledger = Ledger(ends.target, ends.ledger)
    (record,) = ledger.migrations()
    assert (record.points, record.expected) == (300, 300)
