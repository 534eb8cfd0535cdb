"""The source reads every sample that a server takes, as points with the same values."""

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import numpy as np
import pytest
from pymilvus import DataType, MilvusClient
from qdrant_client import grpc as api
from qdrant_client.conversions.conversion import grpc_to_payload

from qmig.errors import TerminalError
from qmig.migration import Credentials, Endpoint, Migration, SourceSpec, TargetSpec
from qmig.rpc.connection import RETRY_FOR
from qmig.sources.milvus import open_source
from qmig.sources.milvus.settings import Settings
from qmig.sources.milvus.source import MilvusSource
from tests.support.milvus.samples import BY_NAME, SAMPLES
from tests.support.milvus.samples.clash import create_clash
from tests.support.milvus.samples.sample import ALL, LITE, OLDER_LITE, STANDALONE, Sample, exact
from tests.support.milvus.servers import MilvusServer

VECTORS = {
    DataType.FLOAT_VECTOR,
    DataType.FLOAT16_VECTOR,
    DataType.BFLOAT16_VECTOR,
    DataType.BINARY_VECTOR,
    DataType.SPARSE_FLOAT_VECTOR,
}
# What Qdrant cannot hold; each is an error that names the row or the field.
REFUSED = {"binary_jaccard": "JACCARD", "json_unsigned": "18446744073709551615"}
NOT_NUMBERS = {"not_numbers", "not_numbers_in_a_vector"}

OpenSource = Callable[..., MilvusSource]


@pytest.fixture
def open_milvus(milvus_server: MilvusServer, milvus_name: str) -> Iterator[OpenSource]:
    """Opens the test's collection as a source."""
    opened: list[MilvusSource] = []

    def open_it(**settings: Any) -> MilvusSource:
        source = SourceSpec(
            "milvus", Endpoint.parse(milvus_server.url, "url"), milvus_name, settings=Settings(**settings).to_dict()
        )
        target = TargetSpec(Endpoint.parse("http://127.0.0.1:1", "url"), "nowhere")
        opened.append(open_source(Migration(source, target), Credentials(), RETRY_FOR))
        return opened[-1]

    yield open_it
    for one in opened:
        one.close()


def read(source: MilvusSource, batch: int = 100) -> list[api.PointStruct]:
    """Every point, in order, `batch` at a time; TerminalError about the first row that cannot become one."""
    source.freeze_settings(None)
    points: list[api.PointStruct] = []
    for partition in source.partitions():
        key: str | None = None
        while True:
            got = source.start_read(partition, key, None, batch).result()
            for row in got.invalid_rows:
                raise TerminalError(row.reason)
            points += map(api.PointStruct.FromString, got.points)
            key = got.next_key
            if key is None:
                break
    return points


def row_of(point: api.PointStruct, sample: Sample) -> dict[str, Any]:
    """A point as the row that it comes from."""
    row: dict[str, Any] = grpc_to_payload(point.payload)
    kinds = {field.name: field.type for field in sample.fields}
    for name, vector in point.vectors.vectors.vectors.items():
        if vector.HasField("sparse"):
            row[name] = dict(zip(vector.sparse.indices, vector.sparse.values, strict=True))
        elif kinds[name] is DataType.BINARY_VECTOR:
            row[name] = np.packbits(np.array(vector.dense.data, dtype=np.uint8)).tobytes()
        else:
            row[name] = list(vector.dense.data)
    return row


def test_every_sample_is_read_as_it_is(
    open_milvus: OpenSource, milvus_client: MilvusClient, milvus_name: str, sample: Sample
) -> None:
    sample.create(milvus_client, milvus_name)
    with closing(open_milvus()) as source:
        if reason := REFUSED.get(sample.name):
            with pytest.raises(TerminalError, match=reason):
                read(source)
        elif sample.name in NOT_NUMBERS:
            with pytest.raises(TerminalError, match=r"'0'.*(nan|inf)"):
                read(source)
        else:
            source.describe()
            for batch in (100, 2):
                rows = [row_of(point, sample) for point in read(source, batch)]
                rows = [
                    {name: row[name] for name in sample.output} if "*" not in sample.output else row for row in rows
                ]
                assert exact(rows) == exact(list(sample.expected))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "sample" in metafunc.fixturenames:
        metafunc.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)


@pytest.fixture(autouse=True)
def _takes_the_sample(request: pytest.FixtureRequest) -> None:
    if "sample" in request.fixturenames:
        kind = request.getfixturevalue("milvus_server").kind
        sample = request.getfixturevalue("sample")
        if kind in ALL and kind not in sample.servers:
            pytest.skip("this server does not take it")


def settings_of(source: MilvusSource) -> tuple[api.VectorParams, list[str]]:
    info = source.describe().info
    return info.config.params.vectors_config.params_map.map["vector"], source.notices()


def test_a_dynamic_field_that_is_a_field_of_the_schema_is_an_error(
    open_milvus: OpenSource, milvus_client: MilvusClient, milvus_server: MilvusServer, milvus_name: str
) -> None:
    create_clash(milvus_client, milvus_server.url, milvus_name)
    with closing(open_milvus()) as source:
        if milvus_server.kind == LITE:
            # This server hides the field behind the dynamic one.
            read(source)
            return
        with pytest.raises(TerminalError, match=r"'[01]'.*'known'.*--skip-field known"):
            read(source)


def test_the_parameters_of_an_hnsw_index_come_along(
    open_milvus: OpenSource, milvus_client: MilvusClient, milvus_server: MilvusServer, milvus_name: str
) -> None:
    if milvus_server.kind != STANDALONE:
        pytest.skip("this server does not tell the parameters")
    BY_NAME["index_hnsw"].create(milvus_client, milvus_name)
    params, _ = settings_of(open_milvus())
    assert (params.hnsw_config.m, params.hnsw_config.ef_construct) == (12, 77)


def test_quantized_and_disk_indexes_have_the_nearest_settings(
    open_milvus: OpenSource, milvus_client: MilvusClient, milvus_server: MilvusServer, milvus_name: str
) -> None:
    if milvus_server.kind != STANDALONE:
        pytest.skip("this server does not tell the parameters")
    for name, field, wanted in (
        ("index_ivf_sq8", "scalar", True),
        ("index_ivf_pq", "product", True),
        ("index_diskann", "on_disk", True),
    ):
        BY_NAME[name].create(milvus_client, milvus_name)
        params, notices = settings_of(open_milvus())
        held = params.quantization_config if field != "on_disk" else params
        assert held.HasField(field) == wanted
        assert any(name.removeprefix("index_").upper() in notice for notice in notices)
        milvus_client.drop_collection(milvus_name)


def test_indexes_of_scalars_become_payload_indexes(
    open_milvus: OpenSource, milvus_client: MilvusClient, milvus_server: MilvusServer, milvus_name: str
) -> None:
    standalone = milvus_server.kind == STANDALONE
    BY_NAME["scalar_indexes_of_2_3" if standalone else "scalar_indexes"].create(milvus_client, milvus_name)
    schema = open_milvus().describe().info.payload_schema
    kinds = {name: api.PayloadSchemaType.Name(index.data_type) for name, index in schema.items()}
    wanted = {"int64": "Integer", "varchar": "Keyword"}
    assert kinds == wanted if standalone else {**wanted, "bool": "Bool", "double": "Float"}


@pytest.mark.parametrize("kind", ["varchar", "int64"])
def test_the_partition_key_is_the_tenant(
    open_milvus: OpenSource,
    milvus_client: MilvusClient,
    milvus_server: MilvusServer,
    milvus_name: str,
    kind: str,
) -> None:
    if milvus_server.kind == OLDER_LITE:
        pytest.skip("this server has no partition keys")
    BY_NAME[f"partition_key_{kind}"].create(milvus_client, milvus_name)
    index = open_milvus().describe().info.payload_schema["tenant"]
    if kind == "varchar":
        assert index.params.keyword_index_params.is_tenant
    else:
        assert index.data_type == api.PayloadSchemaType.Integer


def test_match_and_bm25(
    open_milvus: OpenSource, milvus_client: MilvusClient, milvus_server: MilvusServer, milvus_name: str
) -> None:
    if milvus_server.kind == STANDALONE:
        pytest.skip("this server has neither")
    BY_NAME["text_match"].create(milvus_client, milvus_name)
    assert open_milvus().describe().info.payload_schema["text"].data_type == api.PayloadSchemaType.Text
    milvus_client.drop_collection(milvus_name)
    BY_NAME["bm25"].create(milvus_client, milvus_name)
    source = open_milvus()
    assert not source.describe().info.config.params.sparse_vectors_config.map
    assert any("'words' is left out" in notice for notice in source.notices())
