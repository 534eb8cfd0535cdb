"""A target that keeps no metadata, as before Qdrant 1.16: the ledger alone knows what it is owed."""

import sys
from collections.abc import Iterator

import pytest

from qmig.embedded.child_process import ChildProcess
from qmig.qdrant import messages as api
from tests.support.command import Run
from tests.support.ends import Ends
from tests.support.grpc_proxy import GrpcProxy
from tests.support.migrations import arrived, record_of
from tests.support.target_settings import indexing_threshold
from tests.support.waiting import until_logged


def without_metadata(path: str, answer: bytes) -> bytes:
    """Remove the metadata from the answer with a collection's settings."""
    if path != "/qdrant.Collections/Get":
        return answer
    response = api.GetCollectionInfoResponse.FromString(answer)
    response.result.config.ClearField("metadata")
    return response.SerializeToString()


@pytest.fixture
def source_points() -> int:
    return 300


@pytest.fixture
def older(filled: Ends) -> Iterator[GrpcProxy]:
    with GrpcProxy(filled.target.endpoint) as proxy:
        proxy.alter = without_metadata
        yield proxy


def test_its_settings_are_put_back_at_the_end(filled: Ends, older: GrpcProxy, migrate: Run) -> None:
    result = migrate("-c", target=older.url)
    assert result.returncode == 0, result.stderr
    assert indexing_threshold(filled) > 0
    assert arrived(filled)


def test_a_cancelled_migration_puts_its_settings_back(
    filled: Ends, older: GrpcProxy, idle_broker: str, qmig: Run
) -> None:
    command = [sys.executable, "-m", "qmig", "qdrant", *filled.through(target=older.url), "-c"]
    stopped = ChildProcess(command, name="the migration", env={"QMIG_BROKER_URL": idle_broker})
    until_logged(stopped, "planned")
    stopped.stop(timeout=60)
    assert "which `qmig cancel` puts back" in stopped.read_stderr()
    assert indexing_threshold(filled) == 0
    where = ["--target-url", older.url, "--migration-offsets-collection-name", filled.ledger]

    result = qmig("cancel", *where)

    assert result.returncode == 0, result.stderr
    assert indexing_threshold(filled) > 0
    record = record_of(filled)
    assert record is not None
    assert record.final_settings is None
