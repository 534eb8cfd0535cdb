"""The target collection: created like the source, or an existing one that matches."""

from collections.abc import Callable

import pytest
from google.protobuf import text_format
from qdrant_client import grpc as api

from qmig.ledger.ledger import Ledger
from qmig.qdrant.server import Server
from tests.support.collections import (
    contents,
    count,
    create,
    dense,
    dense_params,
    exists,
    fill,
    info,
    named_params,
    point,
    simple_points,
)
from tests.support.command import Run
from tests.support.ends import Ends

EVERY_SETTING = """
    shard_number: 2
    replication_factor: 1
    write_consistency_factor: 1
    on_disk_payload: false
    hnsw_config { m: 20 ef_construct: 120 full_scan_threshold: 900 payload_m: 10 on_disk: true }
    wal_config { wal_capacity_mb: 16 wal_segments_ahead: 1 }
    optimizers_config {
        deleted_threshold: 0.3 vacuum_min_vector_number: 500 default_segment_number: 3
        indexing_threshold: 4000 flush_interval_sec: 7
    }
    vectors_config { params_map {
        map { key: "image" value {
            size: 16 distance: Dot on_disk: true datatype: Float16
            hnsw_config { m: 8 } quantization_config { scalar { type: Int8 always_ram: true } }
        } }
        map { key: "pages" value { size: 4 distance: Cosine multivector_config { comparator: MaxSim } } }
    } }
    sparse_vectors_config { map { key: "words" value { modifier: Idf index { on_disk: true } } } }
    quantization_config { binary { always_ram: true } }
    strict_mode_config { enabled: true max_timeout: 60 upsert_max_batchsize: 5 }
    metadata { key: "team" value { struct_value { fields { key: "name" value { string_value: "search" } } } } }
"""

INDEXES = {
    "title": api.PayloadIndexParams(
        text_index_params=api.TextIndexParams(tokenizer=api.Word, lowercase=True, min_token_len=2)
    ),
    "number": api.PayloadIndexParams(
        integer_index_params=api.IntegerIndexParams(lookup=True, range=False, on_disk=True)
    ),
    "even": api.PayloadIndexParams(bool_index_params=api.BoolIndexParams()),
}
FIELD_TYPES = {"title": api.FieldTypeText, "number": api.FieldTypeInteger, "even": api.FieldTypeBool}


def create_indexes(server: Server, name: str) -> None:
    for field, params in INDEXES.items():
        request = api.CreateFieldIndexCollection(
            collection_name=name,
            wait=True,
            field_name=field,
            field_type=FIELD_TYPES[field],
            field_index_params=params,
        )
        server.call(server.points.CreateFieldIndex, request)


def indexes_of(server: Server, name: str) -> dict[str, api.PayloadSchemaInfo]:
    found = {}
    for field, schema in info(server, name).payload_schema.items():
        schema.ClearField("points")
        found[field] = schema
    return found


def create_with_every_setting(ends: Ends, points: int) -> None:
    request = text_format.Parse(EVERY_SETTING, api.CreateCollection(collection_name=ends.source_name))
    ends.source.call(ends.source.collections.Create, request)
    numbers = [float(number) for number in range(16)]
    for start in range(0, points, 5):
        fill(
            ends.source,
            ends.source_name,
            [
                point(
                    start + index,
                    api.Vectors(
                        vectors=api.NamedVectors(vectors={"image": api.Vector(dense=api.DenseVector(data=numbers))})
                    ),
                )
                for index in range(5)
            ],
        )


def config_of(server: Server, name: str) -> api.CollectionConfig:
    """The settings of a collection, in which prevent_unoptimized that is off counts as unset."""
    config = info(server, name).config
    if not config.optimizer_config.prevent_unoptimized:
        config.optimizer_config.ClearField("prevent_unoptimized")
    return config


def test_a_created_target_has_every_setting_of_the_source(ends: Ends, migrate: Run) -> None:
    """Its strict mode allows upserts of 5 points; the migration's larger ones were not held up by it."""
    create_with_every_setting(ends, 100)
    original = config_of(ends.source, ends.source_name)
    assert original.strict_mode_config.enabled

    result = migrate("-c", "-b", "50")

    assert result.returncode == 0, result.stderr
    created = config_of(ends.target, ends.target_name)
    for field in original.DESCRIPTOR.fields:
        assert getattr(created, field.name) == getattr(original, field.name), field.name
    assert contents(ends.target, ends.target_name) == contents(ends.source, ends.source_name)


def test_strict_mode_and_the_vector_index_wait_for_the_end(
    ends: Ends, migrate: Run, plan_only: Callable[..., None]
) -> None:
    create_with_every_setting(ends, 10)

    plan_only("-c")

    config = info(ends.target, ends.target_name).config
    assert not config.strict_mode_config.enabled
    assert config.optimizer_config.HasField("indexing_threshold")
    assert config.optimizer_config.indexing_threshold == 0
    assert migrate().returncode == 0
    assert config_of(ends.target, ends.target_name) == config_of(ends.source, ends.source_name)


def test_a_created_target_has_the_payload_indexes(ends: Ends, migrate: Run) -> None:
    create(ends.source, ends.source_name, dense_params())
    create_indexes(ends.source, ends.source_name)
    fill(ends.source, ends.source_name, simple_points(200))

    result = migrate("-c")

    assert result.returncode == 0, result.stderr
    assert set(indexes_of(ends.source, ends.source_name)) == set(INDEXES)
    assert indexes_of(ends.target, ends.target_name) == indexes_of(ends.source, ends.source_name)


def test_create_is_no_harm_where_the_target_is_there(ends: Ends, migrate: Run) -> None:
    create(ends.source, ends.source_name, dense_params())
    create_indexes(ends.source, ends.source_name)
    create(ends.target, ends.target_name, dense_params(), on_disk_payload=True)
    fill(ends.source, ends.source_name, simple_points(20))
    before = info(ends.target, ends.target_name).config

    result = migrate("-c")

    assert result.returncode == 0, result.stderr
    assert info(ends.target, ends.target_name).config == before
    assert indexes_of(ends.target, ends.target_name) == {}
    assert contents(ends.target, ends.target_name) == contents(ends.source, ends.source_name)


@pytest.mark.parametrize("ensured", [True, False], ids=["--ensure-payload-indexes", "without"])
def test_an_existing_target_gets_payload_indexes_only_if_asked(ends: Ends, migrate: Run, ensured: bool) -> None:
    create(ends.source, ends.source_name, dense_params())
    create_indexes(ends.source, ends.source_name)
    create(ends.target, ends.target_name, dense_params())
    own = api.CreateFieldIndexCollection(
        collection_name=ends.target_name, wait=True, field_name="number", field_type=api.FieldTypeKeyword
    )
    ends.target.call(ends.target.points.CreateFieldIndex, own)
    kept = indexes_of(ends.target, ends.target_name)
    fill(ends.source, ends.source_name, simple_points(20))

    result = migrate(*(["--ensure-payload-indexes"] if ensured else []))

    assert result.returncode == 0, result.stderr
    expected = {**indexes_of(ends.source, ends.source_name), **kept} if ensured else kept
    assert indexes_of(ends.target, ends.target_name) == expected


def test_other_points_of_the_target_are_kept_and_equal_ids_overwritten(ends: Ends, migrate: Run) -> None:
    create(ends.source, ends.source_name, dense_params())
    create(ends.target, ends.target_name, dense_params())
    fill(ends.source, ends.source_name, simple_points(200))
    own = [point(key, dense([9.0, 9.0, 9.0, 9.0]), {"own": key, "title": "old"}) for key in range(150, 400)]
    fill(ends.target, ends.target_name, own)
    before = contents(ends.target, ends.target_name)

    result = migrate("--chunk-size", "60")

    assert result.returncode == 0, result.stderr
    there = contents(ends.source, ends.source_name)
    arrived = contents(ends.target, ends.target_name)
    assert len(arrived) == 400
    assert arrived == {**before, **there}


def test_an_upsert_leaves_nothing_of_the_old_payload(ends: Ends, migrate: Run) -> None:
    create(ends.source, ends.source_name, dense_params())
    create(ends.target, ends.target_name, dense_params())
    fill(ends.source, ends.source_name, [point(1, dense([1.0, 0.0, 0.0, 0.0]))])
    fill(ends.target, ends.target_name, [point(1, dense([0.0, 0.0, 0.0, 1.0]), {"old": True})])

    result = migrate()

    assert result.returncode == 0, result.stderr
    assert contents(ends.target, ends.target_name) == contents(ends.source, ends.source_name)


def test_an_incompatible_target_is_told_in_every_difference_and_left_alone(ends: Ends, migrate: Run) -> None:
    create(
        ends.source,
        ends.source_name,
        named_params(
            image=api.VectorParams(size=4, distance=api.Cosine),
            title=api.VectorParams(size=4, distance=api.Dot),
            pages=api.VectorParams(
                size=4,
                distance=api.Dot,
                multivector_config=api.MultiVectorConfig(comparator=api.MaxSim),
            ),
            gone=api.VectorParams(size=4, distance=api.Dot),
        ),
        sparse_vectors_config=api.SparseVectorConfig(map={"words": api.SparseVectorParams(modifier=api.Idf)}),
    )
    create(
        ends.target,
        ends.target_name,
        named_params(
            image=api.VectorParams(size=8, distance=api.Cosine),
            title=api.VectorParams(size=4, distance=api.Euclid),
            pages=api.VectorParams(size=4, distance=api.Dot),
            own=api.VectorParams(size=4, distance=api.Dot),
        ),
        sparse_vectors_config=api.SparseVectorConfig(map={"words": api.SparseVectorParams()}),
    )
    fill(ends.source, ends.source_name, [point(key) for key in range(10)])
    before = info(ends.target, ends.target_name)

    result = migrate("-c", "--ensure-payload-indexes")

    assert result.returncode == 1
    [line] = result.stderr.splitlines()
    for difference in (
        "vector 'image': size 4 in the source, size 8 in the target",
        "vector 'title': distance Dot in the source, distance Euclid in the target",
        "vector 'pages': a multivector with MaxSim in the source, a single vector in the target",
        "vector 'gone': dense in the source, missing in the target",
        "vector 'own': missing in the source, dense in the target",
        "vector 'words': modifier Idf in the source, modifier None in the target",
    ):
        assert difference in line
    assert count(ends.target, ends.target_name) == 0
    assert info(ends.target, ends.target_name) == before
    assert not exists(ends.target, ends.ledger)


def test_a_dry_run_tells_what_would_be_done_and_writes_nothing(ends: Ends, migrate: Run) -> None:
    create(ends.source, ends.source_name, dense_params())
    create_indexes(ends.source, ends.source_name)
    fill(ends.source, ends.source_name, simple_points(200))

    result = migrate("-c", "--dry-run", "--chunk-size", "100")

    assert result.returncode == 0, result.stderr
    for said in (
        ends.source.endpoint.url,
        ends.target.endpoint.url,
        repr(ends.source_name),
        repr(ends.target_name),
        "200 points; unnamed 4-d Dot",
        "would be created",
        "payload indexes to create  even (bool), number (integer), title (text)",
        "chunks  about 2 of about 100 points",
        "nothing was written",
    ):
        assert said in result.stdout
    assert not exists(ends.target, ends.target_name)
    assert not exists(ends.target, ends.ledger)


def test_a_dry_run_shows_the_plan_that_the_ledger_has(ends: Ends, migrate: Run) -> None:
    create(ends.source, ends.source_name, dense_params())
    fill(ends.source, ends.source_name, simple_points(200))
    assert migrate("-c", "--chunk-size", "100").returncode == 0
    ledger = Ledger(ends.target, ends.ledger)
    (first,) = ledger.chunks(ledger.migrations()[0].migration, [0])

    again = migrate("--dry-run").stdout
    anew = migrate("--dry-run", "--restart-migration").stdout

    assert "has this migration, done; the ids of both ends would be compared again, and nothing copied" in again
    assert "chunks  2 of about 100 points, already planned" in again
    assert f"1  […, {first.end})  ~100 points  done" in again
    assert "its plan and offsets would be deleted, and it would begin again" in anew
    assert "chunks  about 1 of about 5,000 points" in anew


def test_a_dry_run_needs_no_broker(ends: Ends, qmig: Run) -> None:
    create(ends.source, ends.source_name, dense_params())

    result = qmig("qdrant", *ends.arguments, "-c", "--dry-run", broker="redis://127.0.0.1:1/0")

    assert result.returncode == 0, result.stderr
    assert "nothing was written" in result.stdout
