"""At the end every key of a Milvus must have its point in the target; whatever has none is counted and named."""

import pytest
from pymilvus import DataType

from tests.support.collections import delete_points, dense_vector, fill, named, point
from tests.support.milvus.migration import Migration
from tests.support.milvus.servers import MilvusServer

NUMBER = {"number": {"datatype": DataType.INT64}}


def test_the_same_key_in_two_partitions_is_counted_and_never_called_complete(
    migration: Migration, milvus_server: MilvusServer
) -> None:
    if milvus_server.kind == "lite-2.5":
        pytest.skip("this server has no partitions")
    migration.create(fields=NUMBER)
    for name, first in (("north", 0), ("south", 80)):
        migration.client.create_partition(migration.source_name, name)
        migration.insert([{"pk": key, "number": first} for key in range(first, first + 100)], name)
    migration.client.load_collection(migration.source_name)
    partitions = ["--source-partition", "north", "--source-partition", "south"]

    done = migration.run("-c", *partitions, "--chunk-size", "30")

    assert len(migration.points()) == 180
    rows = sum(chunk.read for chunk in migration.chunks())
    if rows == 180:
        pytest.skip("this server keeps a key once")
    assert done.returncode == 3, done.stderr
    assert "180 of 200 points are in the target, 20 are not" in done.stdout
    assert "20 points that were replaced by a point with the same id from another partition" in done.stderr
    assert "all " not in done.stdout
    again = migration.run(*partitions)
    assert again.returncode == 3
    assert "180 of 200 points are in the target, 20 are not" in again.stdout


def test_points_of_milvus_that_the_target_lost_for_others_are_missed(migration: Migration) -> None:
    migration.create(fields=NUMBER)
    migration.insert([{"pk": key, "number": key} for key in range(-50, 100)])
    migration.succeed()
    delete_points(migration.target, migration.target_name, 7)
    fill(migration.target, migration.target_name, [point(9000, named(v=dense_vector(1.0, 2.0)))])

    done = migration.run()

    assert done.returncode == 1, done.stdout
    assert "missing in the target: 1 of the source's points" in done.stderr


def test_repeats_of_a_key_are_reported(migration: Migration, milvus_server: MilvusServer) -> None:
    if milvus_server.kind == "lite":
        pytest.skip("this server keeps a key once")
    migration.create(fields=NUMBER)
    for repeat in range(2):
        migration.insert([{"pk": key, "number": repeat} for key in range(500)])
        migration.client.flush(migration.source_name)
    migration.insert([{"pk": key, "number": 0} for key in range(500, 1000)])
    done = migration.run("-c", "--chunk-size", "300")
    assert done.returncode == 3, done.stderr
    assert "500" in done.stderr
    assert migration.points().keys() == {str(key) for key in range(1000)}


def test_changes_that_cancel_out_in_the_total_are_named_by_range(migration: Migration) -> None:
    migration.create(fields=NUMBER)
    migration.insert([{"pk": key, "number": 1} for key in range(0, 2000, 2)])
    migration.succeed("--chunk-size", "250")
    migration.client.delete(migration.source_name, filter="pk < 20")
    migration.insert([{"pk": key, "number": 2} for key in range(1981, 2000, 2)])
    # The answer to this has waited for both.
    migration.client.query(migration.source_name, filter="pk == 1", consistency_level="Strong")

    done = migration.run()

    assert done.returncode == 3, done.stderr
    assert "990 of 1,000 points are in the target, 10 are not" in done.stdout
    assert "1,000 points were read, it holds 1,000 now" in done.stderr
    read = [chunk.read for chunk in migration.chunks()]
    assert len(read) >= 4
    assert f"{read[0]} read and {read[0] - 10} now in […, " in done.stderr
    assert f"{read[-1]} read and {read[-1] + 10} now in [" in done.stderr


def test_more_repeats_than_a_page_has_keys(migration: Migration, milvus_server: MilvusServer) -> None:
    if milvus_server.kind == "lite":
        pytest.skip("this server keeps a key once")
    migration.create()
    for _ in range(3):
        migration.insert([{"pk": key} for key in range(12_000)])
    done = migration.run("-c", "--chunk-size", "1000000")
    assert done.returncode == 3, done.stderr
    assert "24,000" in done.stderr
    assert migration.points().keys() == {str(key) for key in range(12_000)}


def test_a_key_that_is_counted_and_not_returned_is_reported(
    migration: Migration, milvus_server: MilvusServer
) -> None:
    if milvus_server.kind != "standalone":
        pytest.skip("this server gives it")
    migration.create()
    migration.insert([{"pk": key} for key in (1, 2**63 - 1)])
    done = migration.run("-c")
    assert done.returncode == 3
    assert "1 in [" in done.stderr
    assert migration.points().keys() == {"1"}
