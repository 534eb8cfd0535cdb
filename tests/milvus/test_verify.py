"""`qmig verify` of a copy from Milvus compares the points that rows become."""

import json
import random
import subprocess
from typing import Any

import numpy as np
import pytest
from pymilvus import DataType, MilvusException
from qdrant_client import grpc as api

from qmig.qdrant.keys import PointKey
from tests.support.collections import fill, named, point
from tests.support.milvus.migration import Migration
from tests.support.milvus.servers import MilvusServer
from tests.support.milvus.typed_rows import ARRAYS, ROWS, SCALARS

POINTS = 300
KEYS = [-(2**63), *range(-49, POINTS - 50)]


def verify(migration: Migration, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Verify the one migration in the ledger."""
    return migration.qmig("verify", *migration.where, *arguments, broker=migration.broker)


def remove(migration: Migration, *ids: str) -> None:
    """Delete points from the target."""
    points = api.PointsIdsList(ids=[PointKey(one).to_message() for one in ids])
    request = api.DeletePoints(
        collection_name=migration.target_name, wait=True, points=api.PointsSelector(points=points)
    )
    migration.target.call(migration.target.points.Delete, request)


def set_payload(migration: Migration, number: int, **payload: api.Value) -> None:
    """Change a payload in the target."""
    ids = api.PointsIdsList(ids=[api.PointId(num=number)])
    request = api.SetPayloadPoints(
        collection_name=migration.target_name,
        wait=True,
        payload=payload,
        points_selector=api.PointsSelector(points=ids),
    )
    migration.target.call(migration.target.points.SetPayload, request)


def test_missing_different_and_extra_points_are_found_and_repaired(migration: Migration) -> None:
    migration.create(vectors={"v": (DataType.FLOAT_VECTOR, 2, "COSINE")}, fields={"n": {"datatype": DataType.INT64}})
    numbers = random.Random(0)
    rows = [{"pk": key, "n": key, "v": [numbers.gauss(0, 9), numbers.gauss(0, 9)]} for key in KEYS]
    migration.insert(rows)
    points = migration.succeed("--chunk-size", "100")
    equal = verify(migration, "--extra")
    assert equal.returncode == 0, equal.stdout + equal.stderr
    assert f"{POINTS} points compared: all of them equal, and no point extra" in equal.stdout

    ids = {one.payload["pk"]: key for key, one in points.items()}
    remove(migration, ids[11], ids[-7], ids[KEYS[0]])
    set_payload(migration, 12, n=api.Value(double_value=12.0))
    # The key of another row, a key that there is not, and none.
    foreign_points = [point(7000, named(), {"pk": 5}), point(7001, named(), {"pk": 7001}), point(7002, named())]
    fill(migration.target, migration.target_name, foreign_points)

    found = verify(migration, "--extra", "--json")
    assert found.returncode == 4
    report = json.loads(found.stdout)
    assert set(report["missing"]["ids"]) == {"11", f"{ids[-7]} (key -7)", f"{ids[KEYS[0]]} (key {KEYS[0]})"}
    assert report["different"] == {"count": 1, "ids": ["12"], "first": "12: payload 'n': 12 ≠ 12.0"}
    assert report["extra"] == {"count": 3, "ids": ["7000", "7001", "7002"]}

    repaired = verify(migration, "--repair", "--json")
    assert repaired.returncode == 0, repaired.stdout
    assert json.loads(repaired.stdout)["repaired"] == 4
    after = migration.points()
    for key in ("7000", "7001", "7002"):
        del after[key]
    assert after == points


@pytest.mark.parametrize("fields", [SCALARS, ARRAYS], ids=["scalars", "arrays"])
def test_every_kind_of_value_is_equal_to_itself(migration: Migration, fields: dict[str, Any]) -> None:
    migration.create(fields=fields)
    numbers = random.Random(1)
    rows = [{name: row[name] for name in fields} for row in ROWS]
    if fields is SCALARS:
        # Floats of which Qdrant loses a last bit are among these.
        rows += [{**rows[0], "single": numbers.gauss(0, 1), "double": numbers.gauss(0, 1)} for _ in range(200)]
    migration.insert([{"pk": key, **row} for key, row in enumerate(rows)])
    migration.succeed()
    result = verify(migration)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize(
    ("kind", "metric"),
    [
        (DataType.FLOAT16_VECTOR, "L2"),
        (DataType.FLOAT16_VECTOR, "COSINE"),
        (DataType.BFLOAT16_VECTOR, "IP"),
        (DataType.BINARY_VECTOR, "HAMMING"),
        (DataType.INT8_VECTOR, "COSINE"),
    ],
)
def test_vectors_of_few_bits_are_equal(
    migration: Migration, milvus_server: MilvusServer, kind: DataType, metric: str
) -> None:
    numbers = np.random.default_rng(0)
    beside = {} if milvus_server.kind == "standalone" else {"v": (DataType.FLOAT_VECTOR, 2, "COSINE")}
    try:
        migration.create(vectors={"w": (kind, 16, metric), **beside})
    except MilvusException as error:
        pytest.skip(f"this server has no such vector: {error}")
    values: list[Any] = [numbers.normal(size=16).astype(np.float16) * 10 for _ in range(50)]
    if kind == DataType.BFLOAT16_VECTOR:
        values = [(one.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16).tobytes() for one in values]
    if kind == DataType.BINARY_VECTOR:
        values = [numbers.bytes(2) for _ in range(50)]
    if kind == DataType.INT8_VECTOR:
        values = [numbers.integers(-128, 127, 16, np.int8) for _ in range(50)]
    rows = [{"pk": key, "w": one, **({"v": [1.5, key]} if beside else {})} for key, one in enumerate(values)]
    migration.client.insert(migration.source_name, rows)
    migration.succeed()
    result = verify(migration)
    assert result.returncode == 0, result.stdout


def test_sparse_vectors_are_equal(migration: Migration, milvus_server: MilvusServer) -> None:
    if milvus_server.kind == "standalone":
        pytest.skip("this server has no sparse vectors")
    migration.create(vectors={"v": (DataType.FLOAT_VECTOR, 2, "L2"), "s": (DataType.SPARSE_FLOAT_VECTOR, 0, "IP")})
    migration.insert([{"pk": key, "s": {70_000 + key: 0.1, 3: key + 0.2}} for key in range(20)])
    migration.succeed()
    result = verify(migration)
    assert result.returncode == 0, result.stdout


def test_a_sample_and_a_repair_by_string_keys(migration: Migration) -> None:
    migration.create(key=DataType.VARCHAR)
    keys = ["", 'quote"', "back\\slash", "tab\t", "世界", *(f"key {number:04}" for number in range(500))]
    migration.insert([{"pk": key} for key in keys])
    points = migration.succeed("--chunk-size", "200")
    sample = verify(migration, "--sample", "20%", "--extra", "--json")
    assert sample.returncode == 0, sample.stdout
    assert 50 < json.loads(sample.stdout)["compared"] < 150

    lost = [key for key, one in points.items() if one.payload["pk"] in keys[:8]]
    remove(migration, *lost)
    repaired = verify(migration, "--repair", "--json")
    assert repaired.returncode == 0, repaired.stdout
    assert json.loads(repaired.stdout)["repaired"] == 8
    assert migration.points() == points


def test_rows_that_are_new_in_the_source_are_told_from_lost_ones(migration: Migration) -> None:
    migration.create()
    migration.insert([{"pk": key} for key in range(100)])
    migration.succeed()
    migration.insert([{"pk": key} for key in range(100, 110)])
    remove(migration, "5")
    result = verify(migration)
    assert result.returncode == 4
    assert "missing 11: 5, 100, " in result.stdout
    assert "up to 10 of the missing points may be new" in result.stdout


def test_rows_that_cannot_become_points_are_told_apart(migration: Migration) -> None:
    migration.create(fields={"json": {"datatype": DataType.JSON}})
    rows: list[dict[str, Any]] = [{"pk": key, "json": {"a": key}} for key in range(20)]
    rows[5]["json"] = {"a": json.loads("18446744073709551615")}
    migration.insert(rows)
    assert migration.run("-c", "--on-error", "skip").returncode == 3
    result = verify(migration, "--json")
    assert result.returncode == 3, result.stdout
    report = json.loads(result.stdout)
    assert report["rejected"] == {"count": 1, "ids": ["5"]}
    assert report["missing"]["count"] == 0


def test_a_partition_is_verified_by_itself(migration: Migration, milvus_server: MilvusServer) -> None:
    if milvus_server.kind == "lite-2.5":
        pytest.skip("this server has no partitions")
    migration.create()
    for name in ("one", "two"):
        migration.client.create_partition(migration.source_name, name)
    migration.insert([{"pk": key} for key in range(10)], "one")
    migration.insert([{"pk": key} for key in range(10, 20)], "two")
    migration.client.load_collection(migration.source_name)
    migration.succeed("--source-partition", "one")
    assert verify(migration, "--extra").returncode == 0
    fill(migration.target, migration.target_name, [point(15, named(), {"pk": 15})])
    result = verify(migration, "--extra")
    assert result.returncode == 4
    assert "extra 1: 15\n" in result.stdout
