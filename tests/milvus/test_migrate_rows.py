"""All rows that the source had at the start are copied, whatever the server's order, and no others."""

import random
import re
import sys
import uuid
from contextlib import closing
from typing import Any

import pytest
from pymilvus import DataType, MilvusException

from qmig import migration as migrations
from qmig.embedded.child_process import ChildProcess
from qmig.migration import Credentials, Endpoint
from qmig.qdrant.collection import collection_names
from qmig.rpc.connection import RETRY_FOR
from qmig.sources.milvus import open_source
from qmig.sources.milvus.connection import ResultTooLargeError
from qmig.sources.milvus.keys import NAMESPACE
from tests.support.collections import count as points_in
from tests.support.milvus.clients import connect
from tests.support.milvus.migration import Migration
from tests.support.milvus.servers import MilvusServer
from tests.support.waiting import until

NUMBER = {"number": {"datatype": DataType.INT64}}


def numbers(migration: Migration) -> dict[str, Any]:
    return {key: point.payload.get("number") for key, point in migration.points().items()}


def test_rows_inserted_in_disorder_over_several_flushes(migration: Migration) -> None:
    migration.create(fields=NUMBER)
    keys = list(range(-1000, 3000))
    random.Random(5).shuffle(keys)
    for start in range(0, len(keys), 1000):
        migration.insert([{"pk": key, "number": 3 * key} for key in keys[start : start + 1000]])
        if start < 3000:
            # The last thousand stay unflushed.
            migration.client.flush(migration.source_name)
    points = migration.succeed("--chunk-size", "300", "--batch-size", "70")
    wanted = {str(key) if key >= 0 else str(uuid.uuid5(NAMESPACE, str(key))): 3 * key for key in keys}
    assert {key: point.payload["number"] for key, point in points.items()} == wanted


def test_deleted_rows_stay_behind_and_fresh_ones_come(migration: Migration) -> None:
    migration.create(fields=NUMBER)
    migration.insert([{"pk": key, "number": 1} for key in range(200)])
    migration.client.flush(migration.source_name)
    migration.client.delete(migration.source_name, filter="pk >= 50 and pk < 100")
    migration.client.upsert(migration.source_name, [{"pk": 7, "number": 2, "v": [1.0, 2.0]}])
    migration.insert([{"pk": 1000, "number": 3}])
    migration.succeed()
    wanted = {str(key): 1 for key in range(200) if not 50 <= key < 100}
    assert numbers(migration) == {**wanted, "7": 2, "1000": 3}


def test_chunks_are_of_one_size_where_keys_crowd(migration: Migration) -> None:
    migration.create(fields=NUMBER)
    crowded = [*range(10**15, 10**15 + 2000), *range(0, 2000 * 10**9, 10**9), -(2**62), 2**62]
    migration.insert([{"pk": key, "number": key} for key in crowded])
    points = migration.succeed("--chunk-size", "250", "--batch-size", "100")
    assert sorted(point.payload["number"] for point in points.values()) == sorted(crowded)
    sizes = [chunk.acknowledged for chunk in migration.chunks()]
    assert max(sizes) <= 2 * 250
    assert sorted(sizes)[1] >= 125


def test_string_keys_are_cut_into_chunks(migration: Migration) -> None:
    migration.create(key=DataType.VARCHAR, fields=NUMBER)
    keys = [f"{'é' * (number % 3)}key {number * 7919 % 3001:05}" for number in range(3001)]
    migration.insert([{"pk": key, "number": number} for number, key in enumerate(keys)])
    migration.succeed("--chunk-size", "300", "--batch-size", "77")
    assert numbers(migration) == {str(uuid.uuid5(NAMESPACE, key)): number for number, key in enumerate(keys)}
    sizes = [chunk.acknowledged for chunk in migration.chunks()]
    assert len(sizes) == 11
    assert max(sizes) <= 300


@pytest.mark.parametrize("rows", [0, 1])
def test_hardly_any_rows(migration: Migration, rows: int) -> None:
    migration.create(fields=NUMBER)
    migration.insert([{"pk": key, "number": 5} for key in range(rows)]) if rows else None
    migration.succeed()
    assert numbers(migration) == dict.fromkeys(map(str, range(rows)), 5)


def test_rows_of_a_hundred_kilobytes(migration: Migration) -> None:
    migration.create(
        fields={
            "a": {"datatype": DataType.VARCHAR, "max_length": 65535},
            "b": {"datatype": DataType.VARCHAR, "max_length": 65535},
        }
    )
    rows = [{"pk": key, "a": f"{key}" * 16_000, "b": "x" * 50_000} for key in range(10, 110)]
    for start in range(0, 100, 20):
        migration.insert(rows[start : start + 20])
    points = migration.succeed("--batch-size", "1000")
    assert {key: point.payload for key, point in points.items()} == {str(row["pk"]): row for row in rows}


def test_an_answer_that_the_server_refuses_is_asked_for_in_halves(migration: Migration) -> None:
    """256 rows of 300 KB, which qmig asks for first, are over the 64 MB of an answer."""
    texts = [f"text_{number}" for number in range(5)]
    migration.create(fields={name: {"datatype": DataType.VARCHAR, "max_length": 65535} for name in texts})
    rows = [{"pk": key, **{name: f"{key} {name} ".ljust(60_000, "x") for name in texts}} for key in range(260)]
    for start in range(0, len(rows), 20):
        migration.insert(rows[start : start + 20])
    definition = migrations.Migration(
        migrations.SourceSpec("milvus", Endpoint.parse(migration.url, ""), migration.source_name),
        migrations.TargetSpec(migration.target.endpoint, migration.target_name),
    )
    with closing(open_source(definition, Credentials(), RETRY_FOR)) as source:
        source.freeze_settings(None)
        with pytest.raises(ResultTooLargeError):
            source.server.query(source._requests.rows(None, None, None, 256))

    points = migration.succeed("--batch-size", "1000", "--batch-bytes", str(32 * 1024 * 1024))

    assert {key: point.payload for key, point in points.items()} == {str(row["pk"]): row for row in rows}


def test_chosen_partitions_and_their_names(migration: Migration, milvus_server: MilvusServer) -> None:
    if milvus_server.kind == "lite-2.5":
        pytest.skip("this server has no partitions")
    migration.create(fields=NUMBER)
    for number, name in enumerate(("north", "south", "west")):
        migration.client.create_partition(migration.source_name, name)
        migration.insert([{"pk": 100 * number + key, "number": number} for key in range(100)], name)
    migration.client.load_collection(migration.source_name)
    points = migration.succeed(
        "--source-partition", "north", "--source-partition", "west", "--partition-field", "where"
    )
    wanted = {str(100 * number + key): name for number, name in ((0, "north"), (2, "west")) for key in range(100)}
    assert {key: point.payload["where"] for key, point in points.items()} == wanted


def test_a_partition_has_the_word_of_its_kind(migration: Migration, milvus_server: MilvusServer) -> None:
    if milvus_server.kind == "lite-2.5":
        pytest.skip("this server has no partitions")
    migration.create()
    migration.insert([{"pk": key} for key in range(3)])
    looked = migration.run("-c", "--dry-run", "--source-partition", "_default")
    assert "partition _default  […, …)  ~3 points" in looked.stdout, looked.stderr
    migration.succeed("--source-partition", "_default")
    migration.client.delete(migration.source_name, filter="pk == 1")
    migration.client.query(migration.source_name, filter="pk == 1", consistency_level="Strong")
    done = migration.run("--source-partition", "_default")
    assert "3 read and 2 now in […, …) of partition _default" in done.stderr


def test_an_unknown_partition_is_an_error(migration: Migration, milvus_server: MilvusServer) -> None:
    migration.create()
    done = migration.run("-c", "--source-partition", "nowhere")
    assert done.returncode == 2
    assert "--source-partition" in done.stderr
    assert "_default" in done.stderr or milvus_server.kind == "lite-2.5"


def test_a_database(migration: Migration, milvus_server: MilvusServer) -> None:
    if milvus_server.kind == "lite-2.5":
        pytest.skip("this server has no databases")
    try:
        migration.client.create_database("another")
    except MilvusException as error:
        pytest.skip(f"this server has no databases: {error}")
    migration.client = other = connect(milvus_server.url, db_name="another")
    try:
        migration.create(fields=NUMBER)
        migration.insert([{"pk": 1, "number": 7}])
        assert "no collection" in migration.run("-c").stderr
        migration.succeed("--source-database", "another")
        assert numbers(migration) == {"1": 7}
    finally:
        other.drop_collection(migration.source_name)


def test_a_released_collection_is_to_be_loaded_first(migration: Migration) -> None:
    migration.create()
    migration.insert([{"pk": 1}])
    migration.client.release_collection(migration.source_name)
    done = migration.run("-c")
    assert done.returncode == 1
    assert "load" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_an_index_the_distance_must_be_given(migration: Migration, milvus_server: MilvusServer) -> None:
    migration.create(index=False)
    done = migration.run("-c")
    assert done.returncode == 1
    assert "--distance v=" in done.stderr
    if milvus_server.kind == "lite":
        migration.client.load_collection(migration.source_name)
        migration.insert([{"pk": 1}])
        migration.succeed("--distance", "v=manhattan")
        assert migration.points().keys() == {"1"}


def test_fields_are_left_out_and_the_key_renamed(migration: Migration) -> None:
    migration.create(fields={**NUMBER, "text": {"datatype": DataType.VARCHAR, "max_length": 10}})
    migration.insert([{"pk": 1, "number": 2, "text": "three"}])
    points = migration.succeed("--skip-field", "number", "--id-field", "original")
    assert points["1"].payload == {"original": 1, "text": "three"}


def test_a_field_that_is_not_there_is_an_error(migration: Migration) -> None:
    migration.create(fields=NUMBER)
    done = migration.run("-c", "--skip-field", "nummer")
    assert done.returncode == 2
    assert "number" in done.stderr


def test_the_spellings_of_the_go_tool(migration: Migration, milvus_server: MilvusServer) -> None:
    partitions = [] if milvus_server.kind == "lite-2.5" else ["--milvus.partitions", "_default"]
    migration.create(fields=NUMBER)
    migration.insert([{"pk": 1, "number": 2}])
    done = migration.qmig(
        "milvus", "--milvus.url", migration.url, "--milvus.collection", migration.source_name,
        "--milvus.enable-tls-auth=false", "--milvus.db-name", "", *partitions,
        "--qdrant.url", migration.target.endpoint.url, "--qdrant.collection", migration.target_name,
        "--qdrant.distance-metric", "v=dot", "--migration.offsets-collection", migration.ledger,
        "--migration.batch-size", "50", "--migration.create-collection=true",
        broker=migration.broker,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert numbers(migration) == {"1": 2}


def test_resume_after_a_kill_loses_nothing(migration: Migration) -> None:
    migration.create(fields=NUMBER)
    migration.insert([{"pk": key, "number": key} for key in range(6000)])
    arguments = [*migration.arguments, "-c", "--workers", "1", "--batch-size", "50", "--batch-delay", "20"]
    killed = start(*arguments, "--chunk-size", "1500")
    until(lambda: count(migration) >= 500, "500 points in the target", killed)
    killed.kill()
    assert 0 < count(migration) < 6000
    points = migration.succeed("--batch-size", "500")
    assert {key: point.payload["number"] for key, point in points.items()} == {str(key): key for key in range(6000)}


def test_resume_with_other_fields_is_refused(migration: Migration) -> None:
    migration.create(fields=NUMBER)
    migration.insert([{"pk": 1, "number": 2}])
    migration.succeed()
    done = migration.run("--skip-field", "number")
    assert done.returncode == 2
    assert "--skip-field" in done.stderr


def test_a_dry_run_writes_nothing(migration: Migration) -> None:
    migration.create(fields=NUMBER)
    migration.insert([{"pk": 1, "number": 12345}])
    done = migration.run("-c", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "12345" in done.stdout
    assert re.search(r"v .*FloatVector.*dense vector, 2-d Euclid", done.stdout)
    assert migration.target_name not in collections(migration)


def start(*arguments: str) -> ChildProcess:
    """A migration with a fleet of its own."""
    return ChildProcess([sys.executable, "-m", "qmig", *arguments], name="the migration")


def collections(migration: Migration) -> list[str]:
    return collection_names(migration.target)


def count(migration: Migration) -> int:
    return (
        points_in(migration.target, migration.target_name) if migration.target_name in collections(migration) else 0
    )
