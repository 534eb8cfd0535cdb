"""Every type of a Milvus field in the target, from each server that has the type."""

import json
import uuid
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from pymilvus import DataType, MilvusException

from qmig.sources.milvus.keys import NAMESPACE
from tests.support.milvus.migration import Migration
from tests.support.milvus.servers import MilvusServer
from tests.support.milvus.typed_rows import ARRAYS, ROWS, SCALARS


def expected(row: dict[str, Any]) -> dict[str, Any]:
    """A row's payload: a float32 is the double of the same value."""
    payload = {name: value for name, value in row.items() if name != "v"}
    if "single" in row:
        payload["single"] = float(np.float32(row["single"]))
    if "singles" in row:
        payload["singles"] = [float(np.float32(value)) for value in row["singles"]]
    return payload


def sorted_text(payload: dict[str, Any]) -> str:
    return json.dumps(payload, sort_keys=True)


@pytest.mark.parametrize("fields", [SCALARS, ARRAYS], ids=["scalars", "arrays"])
def test_every_value_is_exactly_the_one_in_milvus(migration: Migration, fields: dict[str, Any]) -> None:
    migration.create(fields=fields)
    rows = [{"pk": key, **{name: row[name] for name in fields}} for key, row in enumerate(ROWS)]
    migration.insert(rows)
    points = migration.succeed()
    assert points.keys() == {str(row["pk"]) for row in rows}
    for row in rows:
        # As text, because 1 == True == 1.0.
        assert sorted_text(points[str(row["pk"])].payload) == sorted_text(expected(row))


@pytest.mark.parametrize("value", [7, 2**62, 1.5, "text", True, [1, {"a": 2}, "three", []]], ids=str)
def test_json_need_not_be_an_object(migration: Migration, value: Any) -> None:
    migration.create(fields={"json": {"datatype": DataType.JSON}})
    try:
        migration.insert([{"pk": 1, "json": value}])
    except MilvusException as error:
        pytest.skip(f"this server takes none: {error}")
    assert migration.succeed()["1"].payload == {"pk": 1, "json": value}


def test_dynamic_fields_are_at_the_top_of_the_payload(migration: Migration) -> None:
    migration.create(dynamic=True)
    migration.insert([{"pk": 1, "colour": "red", "tags": ["a", {"b": 2**53 + 1}]}, {"pk": 2}])
    points = migration.succeed()
    assert points["1"].payload == {"pk": 1, "colour": "red", "tags": ["a", {"b": 2**53 + 1}]}
    assert points["2"].payload == {"pk": 2}


def test_a_dynamic_field_with_the_name_of_another_is_an_error(migration: Migration) -> None:
    migration.create(dynamic=True)
    migration.insert([{"pk": 1, "colour": "red"}])
    done = migration.run("-c", "--id-field", "colour")
    assert done.returncode == 1
    assert "'1'" in done.stderr
    assert "'colour'" in done.stderr


def test_null_is_a_null_of_the_payload(migration: Migration, milvus_server: MilvusServer) -> None:
    if milvus_server.kind != "lite":
        pytest.skip("this server has no nulls")
    nullable = {name: {**field, "nullable": True} for name, field in {**SCALARS, **ARRAYS}.items()}
    migration.create(fields={**nullable, "defaulted": {"datatype": DataType.INT64, "default_value": 5}})
    rows = [{"pk": key, **row, "defaulted": 6} for key, row in enumerate(ROWS)]
    migration.insert([*rows, {"pk": 3, **dict.fromkeys(nullable), "defaulted": 7}])
    migration.insert([{"pk": 4}])
    points = migration.succeed()
    assert {key: points[key].payload for key in ("0", "1", "2")} == {str(row["pk"]): expected(row) for row in rows}
    assert points["3"].payload == {"pk": 3, **dict.fromkeys(nullable), "defaulted": 7}
    assert points["4"].payload == {"pk": 4, **dict.fromkeys(nullable), "defaulted": 5}


def test_float_vectors_are_the_same_numbers(migration: Migration) -> None:
    migration.create()
    numbers = [[0.1, -0.2], [3.4e38, 1e-45], [0.0, -0.0]]
    migration.insert([{"pk": key, "v": vector} for key, vector in enumerate(numbers)])
    points = migration.succeed()
    for key, vector in enumerate(numbers):
        assert np.array(points[str(key)].vectors["v"], dtype=np.float32).tobytes() == (
            np.array(vector, dtype=np.float32).tobytes()
        )


@pytest.mark.parametrize("kind", ["float16", "bfloat16", "binary", "int8"])
def test_vectors_of_few_bits_are_the_same_numbers(
    migration: Migration, milvus_server: MilvusServer, kind: str
) -> None:
    numbers = [1.0, -0.5, 65504.0, 6.1e-05, 0.0, 1.0009765625, -2.0, 3.0]
    vectors: dict[str, tuple[DataType, int, str]]
    if kind == "float16":
        value: Any = np.array(numbers, dtype=np.float16)
        wanted, vectors = [float(x) for x in value], {"w": (DataType.FLOAT16_VECTOR, 8, "L2")}
    elif kind == "bfloat16":
        bits = np.array(numbers, dtype=np.float32).view(np.uint32) >> 16
        value = bits.astype(np.uint16).tobytes()
        wanted = [float(x) for x in (bits << 16).astype(np.uint32).view(np.float32)]
        vectors = {"w": (DataType.BFLOAT16_VECTOR, 8, "IP")}
    elif kind == "int8":
        value = np.array([-128, 127, 0, 1, -1, 5, 6, 7], dtype=np.int8)
        wanted, vectors = [float(x) for x in value], {"w": (DataType.INT8_VECTOR, 8, "COSINE")}
    else:
        value = bytes([0b10000001, 0b01111110])
        wanted = [1.0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 1, 1, 1, 1, 1, 0]
        vectors = {"w": (DataType.BINARY_VECTOR, 16, "HAMMING")}
    beside = {} if milvus_server.kind == "standalone" else {"v": (DataType.FLOAT_VECTOR, 2, "L2")}
    try:
        migration.create(vectors={**vectors, **beside})
    except MilvusException as error:
        pytest.skip(f"this server has no such vector: {error}")
    row = {"pk": 1, "w": value, "v": [1.0, 2.0]}
    migration.client.insert(migration.source_name, [{name: row[name] for name in ("pk", "w", *beside)}])
    assert migration.succeed()["1"].vectors["w"] == wanted


def test_sparse_vectors_are_the_same_pairs(migration: Migration, milvus_server: MilvusServer) -> None:
    if milvus_server.kind == "standalone":
        pytest.skip("this server has no sparse vectors")
    migration.create(vectors={"v": (DataType.FLOAT_VECTOR, 2, "L2"), "s": (DataType.SPARSE_FLOAT_VECTOR, 0, "IP")})
    sparse = [{1: 0.5, 4_000_000_000: 0.25}, {0: 1.0, 300: 2.0, 70000: 3.0}]
    migration.insert([{"pk": key, "s": one} for key, one in enumerate(sparse)])
    points = migration.succeed()
    assert [points[str(key)].vectors["s"] for key in range(2)] == sparse


def test_jaccard_is_an_error_that_names_the_way_out(migration: Migration, milvus_server: MilvusServer) -> None:
    if milvus_server.kind == "lite":
        pytest.skip("this server has no binary vectors")
    migration.create(vectors={"w": (DataType.BINARY_VECTOR, 8, "JACCARD")})
    done = migration.run("-c")
    assert done.returncode == 1
    assert "JACCARD" in done.stderr
    assert "--skip-field w" in done.stderr


def test_integer_keys_are_numbers_and_negative_ones_uuids(migration: Migration) -> None:
    migration.create()
    keys = [-(2**63), -(2**63) + 1, -1, 0, 1, 2**53 + 1, 2**63 - 2]
    migration.insert([{"pk": key} for key in keys])
    points = migration.succeed()
    wanted = {str(key) if key >= 0 else str(uuid.uuid5(NAMESPACE, str(key))): key for key in keys}
    assert {key: point.payload["pk"] for key, point in points.items()} == wanted


def test_string_keys_are_uuids_and_kept(migration: Migration, milvus_server: MilvusServer) -> None:
    migration.create(key=DataType.VARCHAR)
    own = "0b4f5c5e-6f0a-4a65-8a5d-0f3c5f1a9e77"
    keys = [
        "", " ", "a", "A", 'quote"', "quote'", "back\\slash", "two\\\\", "new\nline", "tab\t", "return\r", "nul\0",
        "bell\a", "percent%", "under_", "{brace}", "世界", "🦊", "\ud7ff", "\ue000", "a" * 60_000, "1", "-1",
        own, own.upper(), own.replace("-", ""), "\\n", '\\"', "\x7f", "é", "e\u0301",
    ]  # fmt: skip
    if milvus_server.kind == "lite-2.5":
        # A filter of this server cannot hold a line break, in any form.
        keys = [key for key in keys if "\n" not in key and "\r" not in key]
    migration.insert([{"pk": key} for key in keys])
    points = migration.succeed("--chunk-size", "4", "--batch-size", "2")
    wanted = {key if key == own else str(uuid.uuid5(NAMESPACE, key)): key for key in keys}
    assert {key: point.payload["pk"] for key, point in points.items()} == wanted


def test_a_json_number_that_qdrant_cannot_hold_is_named(migration: Migration) -> None:
    migration.create(fields={"json": {"datatype": DataType.JSON}})
    migration.insert([{"pk": 1, "json": {"a": 1}}, {"pk": 2, "json": {"a": json.loads("18446744073709551615")}}])
    done = migration.run("-c")
    assert done.returncode == 1
    assert "'2'" in done.stderr
    assert "18446744073709551615" in done.stderr


def test_json_nested_deeper_than_clients_can_read_is_a_reject(migration: Migration) -> None:
    def nested(depth: int) -> Any:
        value: Any = 1
        for _ in range(depth):
            value = [value]
        return {"deep": value}

    migration.create(fields={"json": {"datatype": DataType.JSON}})
    migration.insert([{"pk": depth, "json": nested(depth)} for depth in (1, 46, 47, 127, 230)])
    done = migration.run("-c", "--on-error", "skip")
    assert done.returncode == 3, done.stderr
    assert {key: point.payload["json"] for key, point in migration.points().items()} == {
        str(depth): nested(depth) for depth in (1, 46, 47)
    }
    reasons = {reject["key"]: reject["reason"] for reject in migration.rejects()}
    assert reasons.keys() == {"127", "230"}
    for depth, reason in reasons.items():
        assert "'json'" in reason
        assert f"nested {int(depth) + 1} deep" in reason


@pytest.mark.parametrize("where", ["double", "v"])
def test_what_is_not_a_number_is_named_or_skipped(migration: Migration, where: str) -> None:
    migration.create(fields={"double": {"datatype": DataType.DOUBLE}})
    rows: list[dict[str, Any]] = [{"pk": key, "double": 1.0, "v": [1.0, 2.0]} for key in range(9)]
    rows[5][where] = float("nan") if where == "double" else [1.0, float("nan")]
    try:
        migration.insert(rows)
    except MilvusException as error:
        pytest.skip(f"this server takes none: {error}")
    done = migration.run("-c")
    assert done.returncode == 1
    assert "'5'" in done.stderr
    assert repr(where) in done.stderr
    assert "--on-error skip" in done.stderr

    done = migration.run("--on-error", "skip")
    assert done.returncode == 3, done.stderr
    assert set(migration.points()) == {str(key) for key in range(9)} - {"5"}
    (reject,) = migration.rejects()
    assert (reject["point"], reject["key"]) == ("5", "5")
    assert repr(where) in reject["reason"]

    rows[5] = {"pk": 5, "double": 2.0, "v": [3.0, 4.0]}
    migration.client.upsert(migration.source_name, [rows[5]])
    # What is written after the migration's moment may take the server a while to show.
    for _ in range(20):
        done = migration.run("--retry-rejects")
        if done.returncode == 0:
            break
    assert done.returncode == 0, done.stderr
    assert migration.rejects() == []
    assert migration.points()["5"].payload["double"] == 2.0


def test_geometry_and_timestamps_are_text(migration: Migration, milvus_server: MilvusServer) -> None:
    if milvus_server.kind == "standalone":
        pytest.skip("this server ends when it is asked for such a type")
    fields = {"place": {"datatype": DataType.GEOMETRY}, "moment": {"datatype": DataType.TIMESTAMPTZ}}
    try:
        migration.create(fields=fields)
        migration.insert([{"pk": 1, "place": "POINT (1 2)", "moment": "2025-01-02T03:04:05.678901+00:00"}])
    except MilvusException as error:
        pytest.skip(f"this server has no such type: {error}")
    payload = migration.succeed()["1"].payload
    assert payload["place"].startswith("POINT (1")
    assert datetime.fromisoformat(payload["moment"]) == datetime(2025, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
