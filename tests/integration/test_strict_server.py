"""A target whose configuration gives every new collection a strict mode, on a real server with that configuration."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from qmig.migration import Endpoint
from qmig.qdrant import messages as api
from qmig.qdrant.server import Server
from tests.support.collections import contents, create, dense_params, fill, info, new_name, simple_points
from tests.support.command import Run
from tests.support.ends import Ends
from tests.support.migrations import fill_source
from tests.support.qdrant_servers import RealQdrant, executable

POINTS = 120
#: Settings of the strict mode that new collections get, by what is limited.
LIMITS = {
    "pages": {"MAX_QUERY_LIMIT": "100"},
    "small pages": {"MAX_QUERY_LIMIT": "5", "UPSERT_MAX_BATCHSIZE": "3"},
    "exact counts": {"SEARCH_ALLOW_EXACT": "false"},
    "filters": {
        "FILTER_MAX_CONDITIONS": "1",
        "CONDITION_MAX_SIZE": "1",
        "UNINDEXED_FILTERING_UPDATE": "false",
        "UNINDEXED_FILTERING_RETRIEVE": "false",
        "MAX_PAYLOAD_INDEX_COUNT": "2",
    },
    "rates": {"READ_RATE_LIMIT": "500", "WRITE_RATE_LIMIT": "200"},
    "sizes": {"MAX_POINTS_COUNT": "10", "MAX_COLLECTION_PAYLOAD_SIZE_BYTES": "100", "MAX_TIMEOUT": "3"},
}


@contextmanager
def strict_ends(ends: Ends, path: Path, limits: dict[str, str]) -> Iterator[Ends]:
    """The ends, with a target of its own that has this strict mode in its configuration."""
    strict = {f"STORAGE__COLLECTION__STRICT_MODE__{name}": value for name, value in limits.items()}
    settings = {"STORAGE__COLLECTION__STRICT_MODE__ENABLED": "true", **strict}
    with (
        RealQdrant(executable(), path, settings) as running,
        Server(Endpoint.parse(running.url, "target"), "target") as target,
    ):
        yield Ends(ends.source, target, ends.source_name, new_name("target"), new_name("ledger"))


@pytest.mark.parametrize("limited", LIMITS)
def test_every_command_works_on_such_a_target(
    ends: Ends, tmp_path: Path, qmig: Run, fleet: str, limited: str
) -> None:
    fill_source(ends, POINTS)
    with strict_ends(ends, tmp_path, LIMITS[limited]) as strict:
        for _ in range(2):
            result = qmig("qdrant", *strict.arguments, "-c", "--chunk-size", "15", broker=fleet)
            assert result.returncode == 0, result.stderr
            assert f"all {POINTS} points are in the target" in result.stdout
        for command in ("list", "status", "rejects"):
            result = qmig(command, *strict.where)
            assert result.returncode == 0, result.stderr
        verified = qmig("verify", *strict.where, broker=fleet)
        assert "all of them equal" in verified.stdout, verified.stderr
        assert info(strict.target, strict.target_name).config.strict_mode_config.enabled
        assert not info(strict.target, strict.ledger).config.strict_mode_config.enabled


def test_a_target_that_exists_is_written_within_its_limits(ends: Ends, tmp_path: Path, qmig: Run, fleet: str) -> None:
    fill_source(ends, POINTS)
    limits = {**LIMITS["small pages"], **LIMITS["exact counts"]}
    with strict_ends(ends, tmp_path, limits) as strict:
        create(strict.target, strict.target_name, dense_params())
        for start in range(1000, 1006, 3):
            fill(strict.target, strict.target_name, simple_points(3, start))
        result = qmig("qdrant", *strict.arguments, "--chunk-size", "50", broker=fleet)

        assert result.returncode == 0, result.stderr
        assert len(all_contents(strict)) == POINTS + 6


def all_contents(ends: Ends) -> dict[str, bytes]:
    """The target's points, once its strict mode is off."""
    lift = api.UpdateCollection(
        collection_name=ends.target_name, strict_mode_config=api.StrictModeConfig(enabled=False)
    )
    ends.target.call(ends.target.collections.Update, lift)
    return contents(ends.target, ends.target_name)
