"""Differences that make an existing target unusable, and differences that are only worth a notice."""

import pytest
from google.protobuf import text_format
from qdrant_client import grpc as api

from qmig.qdrant.payload_indexes import index_notices, missing_indexes
from qmig.qdrant.schema_diff import differences, notices, throttles

SINGLE = "vectors_config { params { size: 4 distance: Cosine } }"


def info(params: str = SINGLE, config: str = "", rest: str = "") -> api.CollectionInfo:
    # Merge, so that a test may give a field again.
    return text_format.Merge(
        f"config {{ params {{ shard_number: 1 {params} }} {config} }} {rest}", api.CollectionInfo()
    )


def dense(settings: str, name: str = "image") -> str:
    value = f"size: 4 distance: Cosine {settings}"
    return f'vectors_config {{ params_map {{ map {{ key: "{name}" value {{ {value} }} }} }} }}'


def sparse(settings: str) -> str:
    return f'sparse_vectors_config {{ map {{ key: "words" value {{ {settings} }} }} }}'


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        (
            SINGLE,
            "vectors_config { params { size: 8 distance: Cosine } }",
            ["the unnamed vector: size 4 in the source, size 8 in the target"],
        ),
        (
            dense(""),
            dense("distance: Dot"),
            ["vector 'image': distance Cosine in the source, distance Dot in the target"],
        ),
        (
            dense("size: 3 distance: Euclid"),
            dense("distance: Manhattan"),
            [
                "vector 'image': size 3 in the source, size 4 in the target",
                "vector 'image': distance Euclid in the source, distance Manhattan in the target",
            ],
        ),
        (
            dense("", name="a"),
            dense("", name="b"),
            [
                "vector 'a': dense in the source, missing in the target",
                "vector 'b': missing in the source, dense in the target",
            ],
        ),
        (
            SINGLE,
            dense(""),
            [
                "the unnamed vector: dense in the source, missing in the target",
                "vector 'image': missing in the source, dense in the target",
            ],
        ),
        (
            dense("", name="words"),
            sparse(""),
            ["vector 'words': dense in the source, sparse in the target"],
        ),
        (
            sparse("modifier: Idf"),
            sparse(""),
            ["vector 'words': modifier Idf in the source, modifier None in the target"],
        ),
        (
            dense("multivector_config { comparator: MaxSim }"),
            dense(""),
            [
                "vector 'image': a multivector with MaxSim in the source, a single vector in the target",
            ],
        ),
        (
            dense(""),
            dense("datatype: Uint8"),
            [
                "vector 'image': datatype float32 in the source, datatype uint8 in the target, "
                "which cannot hold every value"
            ],
        ),
    ],
)
def test_a_difference_that_the_target_cannot_hold_is_named(source: str, target: str, expected: list[str]) -> None:
    assert differences(info(source), info(target)) == expected


DATATYPES = ["Default", "Float32", "Float16", "Uint8"]
LOSSLESS = {(name, name) for name in DATATYPES}
LOSSLESS |= {(name, wide) for name in DATATYPES for wide in ("Default", "Float32")}
LOSSLESS |= {("Uint8", "Float16")}


@pytest.mark.parametrize("target", DATATYPES)
@pytest.mark.parametrize("source", DATATYPES)
def test_a_datatype_matches_if_it_keeps_every_value(source: str, target: str) -> None:
    found = differences(info(dense(f"datatype: {source}")), info(dense(f"datatype: {target}")))
    assert (found == []) == ((source, target) in LOSSLESS)


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("", ""),
        (SINGLE, 'vectors_config { params_map { map { key: "" value { size: 4 distance: Cosine } } } }'),
        (sparse("modifier: None"), sparse("index { on_disk: true }")),
        (f"{SINGLE} sharding_method: Auto", f"{SINGLE} sharding_method: Custom"),
        (f"{SINGLE} sharding_method: Custom", SINGLE),
        (
            f"{SINGLE} replication_factor: 1",
            "vectors_config { params { size: 4 distance: Cosine on_disk: true hnsw_config { m: 8 } } }",
        ),
    ],
)
def test_a_matching_target_has_no_difference(source: str, target: str) -> None:
    assert differences(info(source), info(target)) == []


def test_settings_that_differ_are_noticed_one_a_line() -> None:
    source = info(
        dense("on_disk: true hnsw_config { m: 32 payload_m: 16 }")
        + sparse("index { on_disk: true }")
        + "replication_factor: 2 on_disk_payload: false",
        "hnsw_config { m: 16 ef_construct: 100 } optimizer_config { indexing_threshold: 10 } "
        "quantization_config { scalar { type: Int8 quantile: 0.5 } } "
        'metadata { key: "team" value { string_value: "x" } }',
    )
    target = info(
        dense("on_disk: false quantization_config { binary { } }")
        + sparse("")
        + "replication_factor: 1 on_disk_payload: true sharding_method: Auto",
        "hnsw_config { m: 16 ef_construct: 200 } optimizer_config { indexing_threshold: 10 }",
    )
    assert notices(source, target) == [
        "hnsw_config: ef_construct 100 in the source, ef_construct 200 in the target",
        "quantization_config: scalar {type: Int8 quantile: 0.5} in the source, not set in the target",
        "metadata: other values under team",
        "on_disk_payload: false in the source, true in the target",
        "replication_factor: 2 in the source, 1 in the target",
        "vector 'image': hnsw_config: m 32, payload_m 16 in the source, not set in the target",
        "vector 'image': quantization_config: not set in the source, binary {} in the target",
        "vector 'image': on_disk: true in the source, false in the target",
        "vector 'words': index: on_disk true in the source, not set in the target",
    ]
    assert notices(source, source) == []


def test_values_that_only_a_newer_server_knows_are_compared_by_number() -> None:
    ours, theirs = info(), info()
    ours.config.params.vectors_config.params.distance = 77  # type: ignore[assignment]
    ours.config.params.vectors_config.params.datatype = 78  # type: ignore[assignment]
    theirs.config.params.vectors_config.params.datatype = 79  # type: ignore[assignment]
    assert differences(ours, theirs) == [
        "the unnamed vector: distance 77 in the source, distance Cosine in the target",
        "the unnamed vector: datatype 78 in the source, datatype 79 in the target, which cannot hold every value",
    ]
    assert differences(ours, ours) == []


def test_a_false_flag_is_noticed_unless_false_is_the_default() -> None:
    strict = "strict_mode_config { search_allow_exact: false enabled: false }"
    assert notices(info(), info(config=strict)) == [
        "strict_mode_config: not set in the source, search_allow_exact false in the target"
    ]


def test_a_target_that_slows_the_load_is_noticed() -> None:
    assert throttles(info()) == []
    assert throttles(info(config="strict_mode_config { enabled: false }")) == []
    slow = "strict_mode_config { enabled: true } optimizer_config { prevent_unoptimized: true }"
    assert [line.split(":")[0] for line in throttles(info(config=slow))] == [
        "the target is in strict mode, which may limit the size and the rate of upserts",
        "the target has prevent_unoptimized",
    ]


def test_an_index_of_another_type_is_noticed_and_not_missing() -> None:
    source = info(
        rest="""
        payload_schema { key: "city" value { data_type: Keyword points: 7 } }
        payload_schema {
            key: "id" value { data_type: Integer params { integer_index_params { lookup: true } } }
        }
        payload_schema { key: "text" value { data_type: Text } }"""
    )
    target = info(
        rest="""
        payload_schema { key: "city" value { data_type: Keyword } }
        payload_schema { key: "id" value { data_type: Uuid } }
        payload_schema { key: "own" value { data_type: Bool } }"""
    )
    assert missing_indexes(source, target) == {"text": source.payload_schema["text"]}
    assert index_notices(source, target) == [
        "payload index 'id': integer (lookup: true) in the source, uuid in the target; it is left as it is"
    ]
