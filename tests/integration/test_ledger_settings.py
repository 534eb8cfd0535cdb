"""The ledger has the target's replicas and no strict mode; where one cannot be lifted, calls keep to its limits."""

import subprocess
from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from qmig.qdrant import messages as api
from tests.support.collections import contents, create, dense_params, info
from tests.support.command import Run
from tests.support.ends import Ends
from tests.support.grpc_proxy import GrpcProxy, Refusal, Reply
from tests.support.migrations import fill_source

POINTS = 300
MAX_QUERY_LIMIT, MAX_UPSERT = 100, 40

REQUESTS: dict[str, Any] = {
    "Points/Scroll": api.ScrollPoints,
    "Points/Upsert": api.UpsertPoints,
    "Points/Count": api.CountPoints,
    "Points/CreateFieldIndex": api.CreateFieldIndexCollection,
    "Collections/Update": api.UpdateCollection,
}


class StrictLedgers(GrpcProxy):
    """Holds every call for the collection `ledger` to a strict mode, as a Qdrant does, and refuses to lift it."""

    def __init__(self, ends: Ends) -> None:
        super().__init__(ends.target.endpoint)
        self._ledger = ends.ledger
        #: The largest page that was read, and the largest that was written.
        self.read = self.written = 0
        self.reply = self._check

    def _check(self, path: str, request: bytes) -> Refusal | None:
        kind = REQUESTS.get(path.removeprefix("/qdrant."))
        call = None if kind is None else kind.FromString(request)
        if call is None or call.collection_name != self._ledger:
            return None
        if isinstance(call, api.ScrollPoints):
            self.read = max(self.read, call.limit)
            return None if call.limit <= MAX_QUERY_LIMIT else refused(f'Limit exceeded {call.limit} for "limit"')
        if isinstance(call, api.UpsertPoints):
            self.written = max(self.written, len(call.points))
            return None if len(call.points) <= MAX_UPSERT else refused(f"Limit exceeded {len(call.points)}")
        if isinstance(call, api.CountPoints):
            return refused("Exact search disabled!") if call.exact else None
        if isinstance(call, api.CreateFieldIndexCollection):
            return refused("Collection already contains the maximum number of payload indices (0)")
        return Refusal(grpc.StatusCode.PERMISSION_DENIED, "Forbidden: Global manage access is required")


def refused(details: str) -> Refusal:
    return Refusal(grpc.StatusCode.INVALID_ARGUMENT, f"Bad request: {details}")


@pytest.fixture
def strict(ends: Ends) -> Iterator[StrictLedgers]:
    """The target, with a ledger whose strict mode cannot be lifted."""
    fill_source(ends, POINTS)
    limits = api.StrictModeConfig(
        enabled=True, max_query_limit=MAX_QUERY_LIMIT, upsert_max_batchsize=MAX_UPSERT, search_allow_exact=False
    )
    create(ends.target, ends.ledger, strict_mode_config=limits)
    with StrictLedgers(ends) as proxy:
        yield proxy


def test_a_new_ledger_is_free_of_strict_mode_and_of_rates(ends: Ends, migrate: Run) -> None:
    fill_source(ends, POINTS)

    result = migrate("-c")

    assert result.returncode == 0, result.stderr
    settings = info(ends.target, ends.ledger).config
    assert settings.HasField("strict_mode_config")
    assert not settings.strict_mode_config.enabled
    # A server may limit these for a collection whose strict mode is off, too.
    assert settings.strict_mode_config.read_rate_limit == settings.strict_mode_config.write_rate_limit == 2**32 - 1
    assert settings.params.shard_number == 1


@pytest.mark.parametrize("is_there", [True, False], ids=["target is there", "target is made"])
def test_a_new_ledger_has_as_many_replicas_as_the_target(ends: Ends, migrate: Run, is_there: bool) -> None:
    replicated = ends.target_name if is_there else ends.source_name
    for server, name in ((ends.source, ends.source_name), (ends.target, ends.target_name)):
        if is_there or server is ends.source:
            create(server, name, dense_params(), replication_factor=3 if name == replicated else 1)

    result = migrate("-c")

    assert result.returncode == 0, result.stderr
    params = info(ends.target, ends.ledger).config.params
    assert params.replication_factor == 3
    assert params.write_consistency_factor == 1


def test_the_strict_mode_of_a_ledger_that_exists_is_lifted(ends: Ends, migrate: Run) -> None:
    fill_source(ends, POINTS)
    create(ends.target, ends.ledger, strict_mode_config=api.StrictModeConfig(enabled=True, max_query_limit=100))

    result = migrate("-c")

    assert result.returncode == 0, result.stderr
    assert not info(ends.target, ends.ledger).config.strict_mode_config.enabled


def test_a_strict_mode_that_stays_on_is_kept_to(
    ends: Ends, strict: StrictLedgers, migrate: Run, qmig: Run, fleet: str
) -> None:
    where = ["--target-url", strict.url, "--migration-offsets-collection-name", ends.ledger]

    def done(result: subprocess.CompletedProcess[str]) -> str:
        assert result.returncode == 0, result.stderr
        return result.stdout

    assert "all 300 points are in the target" in done(migrate("-c", "--chunk-size", "2", target=strict.url))
    assert contents(ends.target, ends.target_name) == contents(ends.source, ends.source_name)
    assert "done" in done(qmig("list", *where))
    assert "300" in done(qmig("status", *where))
    assert "no rejects" in qmig("rejects", *where).stderr
    assert "all of them equal" in done(qmig("verify", *where, broker=fleet))
    assert 0 < strict.read <= MAX_QUERY_LIMIT
    assert 1 < strict.written <= MAX_UPSERT
    assert info(ends.target, ends.ledger).config.strict_mode_config.enabled


def test_a_refusal_that_no_page_is_small_enough_for_is_one_line(
    ends: Ends, strict: StrictLedgers, migrate: Run
) -> None:
    checks = strict.reply

    def reply(path: str, request: bytes) -> Reply | None:
        if path.endswith("/SetPayload") and api.SetPayloadPoints.FromString(request).collection_name == ends.ledger:
            return refused("Filter condition limit reached (3 > 1). Help: Reduce the amount of conditions")
        return checks(path, request)

    strict.reply = reply
    result = migrate("-c", target=strict.url)

    assert result.returncode == 1
    [line] = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert "Filter condition limit reached (3 > 1)" in line
    assert "Traceback" not in result.stderr
