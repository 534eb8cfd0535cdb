"""A target created on a server from its source's info has the source's settings, whatever they are."""

import os

import pytest
from google.protobuf import text_format
from qdrant_client import grpc as api

from qmig.errors import TerminalError
from qmig.qdrant.collection import exact_count
from qmig.qdrant.create import after_creation_request, create_request, finish_request, loading_request
from qmig.qdrant.reader import CollectionReader
from qmig.qdrant.schema_diff import differences, notices
from qmig.qdrant.server import Server
from tests.support.collections import info
from tests.support.qdrant_servers import TARGET_VARIABLE
from tests.support.waiting import until


def create(server: Server, name: str, settings: str) -> api.CollectionInfo:
    request = text_format.Parse(settings, api.CreateCollection(collection_name=name))
    server.call(server.collections.Create, request)
    return info(server, name)


def copy(server: Server, source: api.CollectionInfo, name: str) -> api.CollectionInfo:
    server.call(server.collections.Create, create_request(source, name))
    if update := after_creation_request(source, name):
        server.call(server.collections.Update, update)
    return info(server, name)


def as_loaded(source: api.CollectionInfo) -> api.CollectionConfig:
    """The source's config with prevent_unoptimized off, as a target has it until its load is finished."""
    config = api.CollectionConfig()
    config.CopyFrom(source.config)
    config.optimizer_config.prevent_unoptimized = False
    return config


SIZE = "size: 8 distance: Cosine"
VECTORS = {
    "unnamed": f"vectors_config {{ params {{ {SIZE} }} }}",
    "none": "",
    "sparse only": 'sparse_vectors_config { map { key: "words" value { modifier: Idf } } }',
    "sparse index": """
        sparse_vectors_config { map {
            key: "words" value { index { full_scan_threshold: 77 on_disk: true datatype: Float16 } }
        } }""",
    "multivector": f"vectors_config {{ params {{ {SIZE} multivector_config {{ comparator: MaxSim }} }} }}",
    "datatypes": """
        vectors_config { params_map {
            map { key: "f32" value { size: 4 distance: Euclid datatype: Float32 } }
            map { key: "f16" value { size: 4 distance: Dot datatype: Float16 on_disk: true } }
            map { key: "u8" value { size: 4 distance: Manhattan datatype: Uint8 on_disk: false } }
        } }""",
    "hnsw": f"""
        vectors_config {{ params {{ {SIZE}
            hnsw_config {{
                m: 24 ef_construct: 99 full_scan_threshold: 1234 max_indexing_threads: 2
                on_disk: true payload_m: 12
            }}
        }} }}""",
}
QUANTIZATION = {
    "scalar": "scalar { type: Int8 quantile: 0.75 always_ram: true }",
    "product": "product { compression: x16 always_ram: false }",
    "binary": "binary { always_ram: true encoding: TwoBits query_encoding { setting: Scalar8Bits } }",
}


@pytest.mark.parametrize("vectors", VECTORS.values(), ids=VECTORS)
def test_every_kind_of_vector_is_created_alike(server: Server, source: str, vectors: str) -> None:
    original = create(server, source, vectors)
    created = copy(server, original, f"{source}-copy")
    assert created.config == as_loaded(original)
    assert differences(original, created) == []
    assert notices(original, created) == []


@pytest.mark.parametrize("quantization", QUANTIZATION.values(), ids=QUANTIZATION)
def test_every_quantization_is_created_alike(server: Server, source: str, quantization: str) -> None:
    original = create(
        server,
        source,
        f"""
        vectors_config {{ params {{ {SIZE} quantization_config {{ {quantization} }} }} }}
        quantization_config {{ {quantization} }}
        """,
    )
    assert original.config.HasField("quantization_config")
    created = copy(server, original, f"{source}-copy")
    assert created.config == as_loaded(original)


EVERYTHING = """
    shard_number: 2
    replication_factor: 2
    write_consistency_factor: 2
    on_disk_payload: false
    hnsw_config { m: 20 ef_construct: 120 full_scan_threshold: 900 max_indexing_threads: 3 payload_m: 10 }
    wal_config { wal_capacity_mb: 16 wal_segments_ahead: 1 wal_retain_closed: 2 }
    optimizers_config {
        deleted_threshold: 0.3 vacuum_min_vector_number: 500 default_segment_number: 3
        max_segment_size: 50000 indexing_threshold: 4000 flush_interval_sec: 7
        max_optimization_threads { value: 1 } prevent_unoptimized: true
    }
    vectors_config { params_map {
        map { key: "image" value { size: 16 distance: Dot on_disk: true } }
        map { key: "pages" value { size: 4 distance: Cosine multivector_config { comparator: MaxSim } } }
    } }
    sparse_vectors_config { map { key: "words" value { modifier: Idf index { on_disk: true } } } }
    quantization_config { scalar { type: Int8 } }
    strict_mode_config {
        enabled: true max_timeout: 60 upsert_max_batchsize: 500
        sparse_config { sparse_config { key: "words" value { max_length: 64 } } }
    }
    metadata {
        key: "team" value { struct_value { fields { key: "name" value { string_value: "search" } } } }
    }
    metadata { key: "since" value { integer_value: -9007199254740993 } }
"""


def test_a_migration_leaves_every_setting_as_the_source_has_it(server: Server, source: str) -> None:
    original = create(server, source, EVERYTHING)
    fan_out = api.CollectionParamsDiff(read_fan_out_factor=1, read_fan_out_delay_ms=20)
    server.call(server.collections.Update, api.UpdateCollection(collection_name=source, params=fan_out))
    original = info(server, source)
    name = f"{source}-copy"

    created = copy(server, original, name)
    assert not created.config.strict_mode_config.enabled
    finish = finish_request(created, original, name).SerializeToString()

    server.call(server.collections.Update, loading_request(created, name))
    loading = info(server, name).config.optimizer_config
    assert (loading.indexing_threshold, loading.prevent_unoptimized) == (0, False)
    assert loading.HasField("indexing_threshold")

    for _ in range(2):
        server.call(server.collections.Update, api.UpdateCollection.FromString(finish))
    finished = info(server, name)
    for field in original.config.DESCRIPTOR.fields:
        assert getattr(finished.config, field.name) == getattr(original.config, field.name), field.name
    assert notices(original, finished) == []


def upsert(server: Server, name: str, count: int, size: int) -> None:
    for start in range(0, count, 200):
        request = api.UpsertPoints(collection_name=name, wait=True)
        for number in range(start, min(start + 200, count)):
            point = request.points.add()
            point.id.num = number
            point.vectors.vector.dense.data.extend([float(number)] * size)
        assert server.call(server.points.Upsert, request).result.status == api.UpdateStatus.Completed


def loaded(server: Server, source: str) -> tuple[api.CollectionInfo, api.UpdateCollection]:
    """Copy a collection with prevent_unoptimized, load 2,000 points, and give its info and the finish."""
    settings = """
        vectors_config { params { size: 256 distance: Dot } }
        optimizers_config { indexing_threshold: 200 prevent_unoptimized: true default_segment_number: 1 }
    """
    original = create(server, source, settings)
    name = f"{source}-copy"
    created = copy(server, original, name)
    server.call(server.collections.Update, loading_request(created, name))
    upsert(server, name, 2000, 256)
    return original, finish_request(created, original, name)


def test_every_point_is_there_before_the_index_is(server: Server, source: str) -> None:
    """prevent_unoptimized would hide 1,800 of the 2,000 points until they are indexed."""
    original, finish = loaded(server, source)
    name = f"{source}-copy"
    assert exact_count(server, name, None) == 2000
    assert info(server, name).indexed_vectors_count == 0
    server.call(server.collections.Update, finish)
    assert exact_count(server, name, None) == 2000
    assert info(server, name).config == original.config


@pytest.mark.skipif(TARGET_VARIABLE not in os.environ, reason="the embedded endpoint builds no vector index")
def test_the_finish_starts_the_index(server: Server, source: str) -> None:
    _, finish = loaded(server, source)
    name = f"{source}-copy"
    server.call(server.collections.Update, finish)
    until(lambda: info(server, name).indexed_vectors_count > 0, "an indexed vector")
    assert exact_count(server, name, None) == 2000


def test_a_count_keeps_to_the_timeout_that_strict_mode_allows(server: Server, source: str) -> None:
    create(server, source, VECTORS["unnamed"])
    upsert(server, source, 3, 8)
    strict = api.StrictModeConfig(enabled=True, max_timeout=5)
    server.call(server.collections.Update, api.UpdateCollection(collection_name=source, strict_mode_config=strict))
    assert exact_count(server, source, None) == 3


def test_where_strict_mode_forbids_a_count_the_ids_are_counted(server: Server, source: str) -> None:
    limits = "search_allow_exact: false max_query_limit: 2"
    create(server, source, f"{VECTORS['unnamed']} strict_mode_config {{ enabled: true {limits} }}")
    upsert(server, source, 3, 8)
    assert CollectionReader(server, source).count(None, exact=True) == 3


def test_a_request_that_the_server_refuses_fails_with_its_words(server: Server, source: str) -> None:
    original = create(server, source, VECTORS["unnamed"])
    with pytest.raises(TerminalError, match="already exists"):
        server.call(server.collections.Create, create_request(original, source))
