"""What tells a Milvus collection from another one under its name, and errors about what is not loaded."""

from typing import Any

import pytest

from qmig.errors import TerminalError
from qmig.migration import Credentials, Endpoint, Migration, SourceSpec, TargetSpec
from qmig.sources.milvus.connection import MilvusConnection, PartitionGoneError
from qmig.sources.milvus.identity import difference
from qmig.sources.milvus.messages import common

RECORDED = {"collection_id": "7", "partitions": {"a": "1", "b": "2"}, "fields": {"pk": "Int64"}}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, None),
        ({"collection_id": "8"}, "its id was 7 and is 8"),
        ({"partitions": {"a": "1", "b": "3"}}, "the id of its partition 'b' was 2 and is 3"),
        ({"partitions": {"a": "1"}}, None),
        ({"partitions": {"a": "1", "b": "2", "c": "3"}}, None),
        ({"fields": {"pk": "VarChar"}}, "the type of its field 'pk' was Int64 and is VarChar"),
        ({"fields": {"pk": "Int64", "new": "JSON"}}, None),
    ],
)
def test_a_collection_is_recognised_by_its_ids(changes: dict[str, Any], expected: str | None) -> None:
    assert difference(RECORDED, {**RECORDED, **changes}) == expected


def test_a_migration_without_a_recorded_identity_has_nothing_to_compare() -> None:
    assert difference({}, RECORDED) is None


@pytest.fixture
def connection() -> MilvusConnection:
    ends = SourceSpec("milvus", Endpoint("127.0.0.1", 1), "products"), TargetSpec(Endpoint("127.0.0.1", 2), "copy")
    return MilvusConnection(Migration(*ends), Credentials())


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (65535, "failed to search/query delegator 1 for channel c: reason=partition not loaded[partition=[4 5]]"),
        (65535, "partition name p2 not found"),
        (201, "partition not loaded[partition=4]"),
        (202, "partition not fully loaded[partition=4]"),
        (200, "partition not found[partition=p2]"),
    ],
)
def test_a_partition_that_is_gone_is_looked_for_by_the_next_read(
    connection: MilvusConnection, code: int, reason: str
) -> None:
    with pytest.raises(PartitionGoneError, match="partition"):
        connection.check(common.Status(code=code, reason=reason))


def test_a_field_that_is_not_loaded_is_named_with_the_ways_out(connection: MilvusConnection) -> None:
    with pytest.raises(TerminalError, match=r"field not loaded.*load every field, or leave it out with --skip-field"):
        connection.check(common.Status(code=1100, reason="field not loaded[field=title]"))
