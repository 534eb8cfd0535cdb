"""The embedded Qdrant answers like a real one, keeps what it acknowledged, and refuses what it cannot do.

With $QMIG_TEST_SOURCE_QDRANT the tests of answers run against that real server, too.
"""

import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest
from qdrant_client import grpc as api

from qmig.embedded.qdrant import EmbeddedQdrant
from tests.contents import (
    dense,
    dense_params,
    dense_vector,
    multi_vector,
    named,
    named_params,
    point,
    simple_points,
    sparse_vector,
)

REAL = os.environ.get("QMIG_TEST_SOURCE_QDRANT")
EVERY_JSON_TYPE = {
    "null": None,
    "true": True,
    "least": -(2**63),
    "most": 2**63 - 1,
    "one": 1,
    "one.0": 1.0,
    "tiny": 5e-324,
    "minus zero": -0.0,
    "text": 'x\n"ü"',
    "": "under the empty key",
    "ключ": [],
    "nested": {"list": [1, 1.0, None, [], {}, {"": [False]}], "empty": {}},
}


class Client:
    """The stubs of one endpoint and the calls that most tests make."""

    def __init__(self, url: str) -> None:
        address = url.partition("://")[2]
        options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
        self.channel = grpc.insecure_channel(address, options)
        self.collections = api.CollectionsStub(self.channel)
        self.points = api.PointsStub(self.channel)

    def create(self, name: str, vectors: api.VectorsConfig | None = None, **settings: Any) -> None:
        config = vectors or dense_params()
        self.collections.Create(api.CreateCollection(collection_name=name, vectors_config=config, **settings))

    def create_shard_key(self, name: str, key: api.ShardKey, **settings: Any) -> None:
        request = api.CreateShardKey(shard_key=key, **settings)
        self.collections.CreateShardKey(api.CreateShardKeyRequest(collection_name=name, request=request))

    def info(self, name: str) -> api.CollectionInfo:
        return self.collections.Get(api.GetCollectionInfoRequest(collection_name=name)).result

    def upsert(self, name: str, *points: api.PointStruct, **options: Any) -> api.UpdateResult:
        request = api.UpsertPoints(collection_name=name, wait=True, points=points, **options)
        return self.points.Upsert(request).result

    def scroll(self, name: str, vectors: bool = True, **options: Any) -> Any:
        selector = api.WithVectorsSelector(enable=vectors)
        return self.points.Scroll(api.ScrollPoints(collection_name=name, with_vectors=selector, **options))

    def contents(self, name: str, **options: Any) -> dict[str, api.RetrievedPoint]:
        page = self.scroll(name, limit=1_000_000, **options)
        assert not page.HasField("next_page_offset")
        return {key_of(found.id): found for found in page.result}

    def count(self, name: str, **options: Any) -> int:
        request = api.CountPoints(collection_name=name, exact=True, **options)
        return int(self.points.Count(request).result.count)

    def set_payload(self, name: str, selector: api.PointsSelector, **payload: Any) -> None:
        self.points.SetPayload(
            api.SetPayloadPoints(collection_name=name, wait=True, payload=values(payload), points_selector=selector)
        )


def key_of(point_id: api.PointId) -> str:
    return point_id.uuid or str(point_id.num)


def values(payload: dict[str, Any]) -> dict[str, api.Value]:
    return dict(point(0, payload=payload).payload)


def keys(*names: str | int) -> api.ShardKeySelector:
    return api.ShardKeySelector(shard_keys=[shard_key(name) for name in names])


def shard_key(name: str | int) -> api.ShardKey:
    return api.ShardKey(keyword=name) if isinstance(name, str) else api.ShardKey(number=name)


def ids(*numbers: int) -> api.PointsSelector:
    return api.PointsSelector(points=api.PointsIdsList(ids=[api.PointId(num=number) for number in numbers]))


def has_id(*numbers: int) -> api.Condition:
    return api.Condition(has_id=api.HasIdCondition(has_id=[api.PointId(num=number) for number in numbers]))


def matches(field: str, **match: Any) -> api.Condition:
    return api.Condition(field=api.FieldCondition(key=field, match=api.Match(**match)))


def refused(call: Callable[[], Any]) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return caught.value.code(), caught.value.details()


def sample() -> api.Query:
    return api.Query(sample=api.Sample.Random)


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with EmbeddedQdrant(tmp_path_factory.mktemp("embedded") / "data") as server:
        yield Client(server.url)


@pytest.fixture(params=["embedded", "real"])
def client(request: pytest.FixtureRequest) -> Client:
    if request.param == "embedded":
        return request.getfixturevalue("embedded")
    if REAL is None:
        pytest.skip("QMIG_TEST_SOURCE_QDRANT is not set")
    return Client(REAL)


@pytest.fixture
def name(client: Client) -> Iterator[str]:
    """The name of a collection that is deleted afterwards."""
    name = f"embedded-{uuid.uuid4()}"
    yield name
    client.collections.Delete(api.DeleteCollection(collection_name=name))


@pytest.fixture
def custom(client: Client, name: str) -> str:
    """A collection with the shard keys a, b, 7 and an empty one; the first three hold points of equal ids."""
    try:
        client.create(name, sharding_method=api.Custom)
        for key in ("a", "b", 7, "empty"):
            client.create_shard_key(name, shard_key(key))
    except grpc.RpcError as error:
        pytest.skip(f"no custom sharding: {error.details()}")
    for key in ("a", "b", 7):
        points = [point(number, dense([number] * 4), {"key": str(key)}) for number in range(1, 6)]
        client.upsert(name, *points, shard_key_selector=keys(key))
    client.upsert(name, point(6, dense([6] * 4)), shard_key_selector=keys("b", 7))
    return name


def test_payload_of_every_json_type_comes_back_as_it_was(client: Client, name: str) -> None:
    client.create(name)
    written = point(1, dense([1, 2, 3, 4]), EVERY_JSON_TYPE)
    assert client.upsert(name, written).status == api.UpdateStatus.Completed
    (found,) = client.scroll(name).result
    assert dict(found.payload) == dict(written.payload)
    assert found.payload["one"].WhichOneof("kind") == "integer_value"
    assert found.payload["one.0"].WhichOneof("kind") == "double_value"


def test_scroll_orders_numbers_before_uuids_and_starts_at_the_offset(client: Client, name: str) -> None:
    client.create(name)
    numbers = [2**64 - 1, 0, 2**63, 7, 1]
    uuids = [str(uuid.UUID(int=number)) for number in (2**128 - 1, 0, 5)]
    client.upsert(name, *(point(key, dense([1, 0, 0, 0])) for key in numbers + uuids))
    ordered = [str(key) for key in sorted(numbers)] + sorted(uuids)
    assert list(client.contents(name)) == ordered
    page = client.scroll(name, limit=3, offset=api.PointId(num=1))
    assert [key_of(found.id) for found in page.result] == ordered[1:4]
    assert key_of(page.next_page_offset) == ordered[4]
    page = client.scroll(name, limit=3, offset=api.PointId(uuid=str(uuid.UUID(int=1))))
    assert [key_of(found.id) for found in page.result] == ordered[6:]
    assert not page.HasField("next_page_offset")


def test_vectors_of_every_kind_come_back_bit_by_bit(client: Client, name: str) -> None:
    vectors = {
        "": api.VectorParams(size=3, distance=api.Dot),
        "half": api.VectorParams(size=3, distance=api.Euclid, datatype=api.Float16),
        "bytes": api.VectorParams(size=3, distance=api.Manhattan, datatype=api.Uint8),
        "multi": api.VectorParams(size=2, distance=api.Dot, multivector_config=api.MultiVectorConfig()),
    }
    sparse = api.SparseVectorConfig(map={"sparse": api.SparseVectorParams()})
    client.create(name, named_params(**vectors), sparse_vectors_config=sparse)
    whole = {
        "": dense_vector(0.1, -0.0, 1e-45),
        "half": dense_vector(0.5, 1024, -2),
        "bytes": dense_vector(0, 7, 255),
        "multi": multi_vector([0.1, 0.2], [0.3, 0.4], [0.1, 0.2]),
        "sparse": sparse_vector({2: 0.1, 4_294_967_295: 1e30}),
    }
    client.upsert(
        name, point(1, named(**whole)), point(2), point(3, named(multi=whole["multi"])), point(4, dense([1, 2, 3]))
    )
    found = client.contents(name)
    for vector_name, vector in whole.items():
        read = found["1"].vectors.vectors.vectors[vector_name]
        assert read.SerializeToString() == vector.SerializeToString()
    assert not found["2"].vectors.vectors.vectors
    assert set(found["3"].vectors.vectors.vectors) == {"multi"}
    assert list(found["4"].vectors.vector.dense.data) == [1, 2, 3]


def test_vectors_in_the_older_form_are_the_same_vectors(client: Client, name: str) -> None:
    multi = api.VectorParams(size=2, distance=api.Dot, multivector_config=api.MultiVectorConfig())
    sparse = api.SparseVectorConfig(map={"sparse": api.SparseVectorParams()})
    client.create(
        name,
        named_params(plain=api.VectorParams(size=2, distance=api.Dot), multi=multi),
        sparse_vectors_config=sparse,
    )
    client.upsert(
        name,
        point(
            1,
            named(
                plain=api.Vector(data=[1, 2]),
                multi=api.Vector(data=[1, 2, 3, 4], vectors_count=2),
                sparse=api.Vector(data=[0.5, 1.5], indices=api.SparseIndices(data=[3, 9])),
            ),
        ),
    )
    read = client.contents(name)["1"].vectors.vectors.vectors
    assert list(read["plain"].dense.data) == [1, 2]
    assert [list(row.data) for row in read["multi"].multi_dense.vectors] == [[1, 2], [3, 4]]
    assert list(read["sparse"].sparse.indices) == [3, 9]
    assert list(read["sparse"].sparse.values) == [0.5, 1.5]


def test_cosine_vectors_are_normalised_once(client: Client, name: str) -> None:
    client.create(name, dense_params(distance=api.Cosine))
    client.upsert(name, point(1, dense([3, 0, 4, 0])))
    (first,) = client.scroll(name).result
    assert list(first.vectors.vector.dense.data) == pytest.approx([0.6, 0, 0.8, 0])
    client.upsert(name, point(1, dense(first.vectors.vector.dense.data)))
    (second,) = client.scroll(name).result
    assert second.vectors.SerializeToString() == first.vectors.SerializeToString()


def test_a_collection_without_vectors_holds_payloads(client: Client, name: str) -> None:
    client.create(name, named_params())
    client.upsert(name, point(1, payload={"state": "planned"}))
    (found,) = client.scroll(name).result
    assert found.payload["state"].string_value == "planned"
    assert not client.info(name).config.params.vectors_config.params_map.map


def test_settings_are_shown_as_given_and_filled_with_the_defaults(client: Client, name: str) -> None:
    size = api.VectorParams(size=4, distance=api.Dot, on_disk=True, hnsw_config=api.HnswConfigDiff(m=0))
    client.create(
        name,
        api.VectorsConfig(params=size),
        hnsw_config=api.HnswConfigDiff(payload_m=8),
        optimizers_config=api.OptimizersConfigDiff(indexing_threshold=0),
        quantization_config=api.QuantizationConfig(binary=api.BinaryQuantization(always_ram=True)),
        metadata=values({"made by": "a test"}),
    )
    config = client.info(name).config
    assert config.params.vectors_config.params == size
    assert (config.params.shard_number, config.params.replication_factor) == (1, 1)
    assert (config.hnsw_config.m, config.hnsw_config.ef_construct, config.hnsw_config.payload_m) == (16, 100, 8)
    assert config.optimizer_config.HasField("indexing_threshold")
    assert config.optimizer_config.indexing_threshold == 0
    assert config.quantization_config.binary.always_ram
    assert config.metadata["made by"].string_value == "a test"

    update = api.UpdateCollection(
        collection_name=name,
        optimizers_config=api.OptimizersConfigDiff(indexing_threshold=5000),
        quantization_config=api.QuantizationConfigDiff(disabled=api.Disabled()),
        vectors_config=api.VectorsConfigDiff(params=api.VectorParamsDiff(on_disk=False)),
        metadata=values({"made by": None, "more": 1}),
    )
    client.collections.Update(update)
    config = client.info(name).config
    assert config.optimizer_config.indexing_threshold == 5000
    assert not config.HasField("quantization_config")
    assert not config.params.vectors_config.params.on_disk
    assert config.params.vectors_config.params.hnsw_config.m == 0
    assert {key: value.integer_value for key, value in config.metadata.items()} == {"more": 1}


def test_payload_indexes_are_shown_with_all_parameters(client: Client, name: str) -> None:
    client.create(name)
    client.upsert(name, point(1, dense([1, 2, 3, 4]), {"tag": "x", "number": 3}))
    text = api.TextIndexParams(
        tokenizer=api.Word,
        lowercase=True,
        min_token_len=2,
        stopwords=api.StopwordsSet(languages=["english"], custom=["foo"]),
        stemmer=api.StemmingAlgorithm(snowball=api.SnowballParams(language="german")),
        phrase_matching=True,
    )
    wanted = {
        "tag": (
            api.FieldTypeKeyword,
            api.PayloadIndexParams(keyword_index_params=api.KeywordIndexParams(is_tenant=True)),
        ),
        "number": (
            api.FieldTypeInteger,
            api.PayloadIndexParams(integer_index_params=api.IntegerIndexParams(lookup=True, range=False)),
        ),
        "text": (api.FieldTypeText, api.PayloadIndexParams(text_index_params=text)),
        "when": (api.FieldTypeDatetime, None),
    }
    for field, (kind, params) in wanted.items():
        client.points.CreateFieldIndex(
            api.CreateFieldIndexCollection(
                collection_name=name, wait=True, field_name=field, field_type=kind, field_index_params=params
            )
        )
    schema = client.info(name).payload_schema
    assert set(schema) == set(wanted)
    for field, (_, params) in wanted.items():
        assert schema[field].HasField("params") == (params is not None)
        assert schema[field].params == (params or api.PayloadIndexParams())
    assert (schema["tag"].points, schema["text"].points) == (1, 0)
    client.points.DeleteFieldIndex(api.DeleteFieldIndexCollection(collection_name=name, wait=True, field_name="tag"))
    assert set(client.info(name).payload_schema) == set(wanted) - {"tag"}


def test_update_modes_and_conditions(client: Client, name: str) -> None:
    client.create(name)
    client.upsert(name, point(1, dense([1] * 4), {"was": "old"}), point(2, dense([1] * 4), {"was": "new"}))

    def titles() -> dict[str, str]:
        return {key: found.payload["is"].string_value for key, found in client.contents(name).items()}

    def points(text: str) -> list[api.PointStruct]:
        return [point(key, dense([2] * 4), {"was": "old", "is": text}) for key in (1, 3)]

    client.upsert(name, *points("inserted"), update_mode=api.UpdateMode.InsertOnly)
    assert titles() == {"1": "", "2": "", "3": "inserted"}
    update = [*points("updated"), point(4, dense([2] * 4))]
    client.upsert(name, *update, update_mode=api.UpdateMode.UpdateOnly)
    assert titles() == {"1": "updated", "2": "", "3": "updated"}
    conditional = [point(key, dense([3] * 4), {"is": "matched"}) for key in (1, 2, 5)]
    client.upsert(name, *conditional, update_filter=api.Filter(must=[matches("was", keyword="old")]))
    assert titles() == {"1": "matched", "2": "", "3": "updated", "5": "matched"}


def test_payloads_are_set_overwritten_and_deleted(client: Client, name: str) -> None:
    client.create(name)
    client.upsert(name, *(point(key, dense([1] * 4), {"a": key, "b": "x"}) for key in (1, 2, 3, 4)))
    client.set_payload(name, ids(1), c=True)
    client.set_payload(name, api.PointsSelector(filter=api.Filter(must=[matches("a", integer=2)])), c=2.0)
    client.points.OverwritePayload(
        api.SetPayloadPoints(collection_name=name, wait=True, payload=values({"only": 1}), points_selector=ids(3))
    )
    client.points.DeletePayload(
        api.DeletePayloadPoints(collection_name=name, wait=True, keys=["b"], points_selector=ids(1))
    )
    client.points.ClearPayload(api.ClearPayloadPoints(collection_name=name, wait=True, points=ids(4)))
    found = {key: dict(one.payload) for key, one in client.contents(name).items()}
    assert found == {
        "1": values({"a": 1, "c": True}),
        "2": values({"a": 2, "b": "x", "c": 2.0}),
        "3": values({"only": 1}),
        "4": {},
    }
    client.points.Delete(api.DeletePoints(collection_name=name, wait=True, points=ids(1, 99)))
    gone = api.PointsSelector(filter=api.Filter(must_not=[has_id(4)]))
    client.points.Delete(api.DeletePoints(collection_name=name, wait=True, points=gone))
    assert list(client.contents(name)) == ["4"]


def test_setting_a_payload_by_filter_lets_one_of_many_win(client: Client, name: str) -> None:
    client.create(name, named_params())
    client.upsert(name, *(point(key, payload={"owner": "nobody"}) for key in range(20)))

    def claim(worker: str) -> None:
        for key in range(20):
            free = api.Filter(must=[has_id(key), matches("owner", keyword="nobody")])
            client.set_payload(name, api.PointsSelector(filter=free), owner=worker, **{worker: True})

    workers = [f"worker {number}" for number in range(8)]
    with ThreadPoolExecutor(len(workers)) as pool:
        list(pool.map(claim, workers))
    for found in client.contents(name).values():
        owner = found.payload["owner"].string_value
        assert owner in workers
        assert set(found.payload) == {"owner", owner}


def test_filters_select(client: Client, name: str) -> None:
    client.create(name)
    client.upsert(
        name,
        point(1, dense([1] * 4), {"text": "x", "flag": True, "number": 1, "list": [1, 2]}),
        point(2, dense([1] * 4), {"text": "y", "flag": False, "number": 2, "list": []}),
        point(3, payload={"text": None}),
    )

    def found(**filters: Any) -> list[str]:
        return list(client.contents(name, filter=api.Filter(**filters)))

    number = api.Condition(field=api.FieldCondition(key="number", range=api.Range(gte=1, lt=2)))
    assert found() == ["1", "2", "3"]
    assert found(must=[matches("text", keyword="y")]) == ["2"]
    assert found(must=[matches("flag", boolean=True)]) == ["1"]
    assert found(must=[matches("flag", boolean=False)]) == ["2"]
    assert found(must=[matches("number", integer=1)]) == ["1"]
    assert found(must=[number]) == ["1"]
    assert found(must_not=[has_id(1, 3)]) == ["2"]
    assert found(should=[matches("text", keywords=api.RepeatedStrings(strings=["x", "z"])), has_id(3)]) == ["1", "3"]
    assert found(must=[api.Condition(is_null=api.IsNullCondition(key="text"))]) == ["3"]
    assert found(must=[api.Condition(is_empty=api.IsEmptyCondition(key="list"))]) == ["2", "3"]
    assert found(must=[api.Condition(has_vector=api.HasVectorCondition(has_vector=""))]) == ["1", "2"]
    assert client.count(name, filter=api.Filter(must=[number])) == 1


def test_reads_return_what_was_asked_for(client: Client, name: str) -> None:
    client.create(name)
    client.upsert(name, *simple_points(30))
    (first, *_), without = client.scroll(name).result, client.scroll(name, vectors=False).result
    assert len(without) == 10
    assert first.HasField("vectors")
    assert not without[0].HasField("vectors")
    one_field = api.WithPayloadSelector(include=api.PayloadIncludeSelector(fields=["number"]))
    assert set(client.scroll(name, limit=1, with_payload=one_field).result[0].payload) == {"number"}
    but_one = api.WithPayloadSelector(exclude=api.PayloadExcludeSelector(fields=["number"]))
    assert set(client.scroll(name, limit=1, with_payload=but_one).result[0].payload) == {"title", "even"}
    wanted = [api.PointId(num=number) for number in (7, 99, 3)]
    got = client.points.Get(api.GetPoints(collection_name=name, ids=wanted)).result
    assert {key_of(found.id) for found in got} == {"7", "3"}
    assert not got[0].payload


def test_a_sample_is_of_distinct_points(client: Client, name: str) -> None:
    client.create(name)
    assert not client.points.Query(api.QueryPoints(collection_name=name, query=sample(), limit=5)).result
    client.upsert(name, *simple_points(500))
    hits = client.points.Query(api.QueryPoints(collection_name=name, query=sample(), limit=200)).result
    assert len({key_of(hit.id) for hit in hits}) == 200
    assert not hits[0].payload
    assert not hits[0].HasField("vectors")
    everything = api.QueryPoints(
        collection_name=name,
        query=sample(),
        limit=1000,
        with_payload=api.WithPayloadSelector(enable=True),
        with_vectors=api.WithVectorsSelector(enable=True),
    )
    hits = client.points.Query(everything).result
    assert len(hits) == 500
    assert all(hit.payload["number"].integer_value == hit.id.num for hit in hits)


def test_the_nearest_come_first(client: Client, name: str) -> None:
    sparse = api.SparseVectorConfig(map={"sparse": api.SparseVectorParams()})
    vectors = named_params(
        alike=api.VectorParams(size=2, distance=api.Dot), apart=api.VectorParams(size=2, distance=api.Euclid)
    )
    client.create(name, vectors, sparse_vectors_config=sparse)
    for number in range(1, 6):
        vector = dense_vector(number, 0)
        client.upsert(name, point(number, named(alike=vector, apart=vector, sparse=sparse_vector({3: number}))))

    def nearest(using: str, **vector: Any) -> list[int]:
        query = api.Query(nearest=api.VectorInput(**vector))
        request = api.QueryPoints(collection_name=name, query=query, using=using, limit=2, offset=1)
        return [hit.id.num for hit in client.points.Query(request).result]

    assert nearest("alike", dense=api.DenseVector(data=[1, 0])) == [4, 3]
    assert nearest("apart", dense=api.DenseVector(data=[0.9, 0])) == [2, 3]
    assert nearest("sparse", sparse=api.SparseVector(indices=[3], values=[1])) == [4, 3]


def test_shard_keys_keep_their_points_apart(client: Client, custom: str) -> None:
    assert [client.count(custom, shard_key_selector=keys(key)) for key in ("a", "b", 7, "empty")] == [5, 6, 6, 0]
    assert client.count(custom) == 17
    found = client.contents(custom, shard_key_selector=keys(7))
    assert [one.payload["key"].string_value for one in found.values()] == ["7"] * 5 + [""]
    assert {one.shard_key.number for one in found.values()} == {7}


def test_a_scroll_over_all_shard_keys_drops_the_repeats(client: Client, custom: str) -> None:
    assert list(client.contents(custom)) == ["1", "2", "3", "4", "5", "6"]
    page = client.scroll(custom, limit=4)
    assert [found.id.num for found in page.result] == [1, 2, 3, 4]
    assert page.next_page_offset.num == 5
    page = client.scroll(custom, limit=4, offset=api.PointId(num=5), shard_key_selector=keys("a", "b"))
    assert [found.id.num for found in page.result] == [5, 6]


def test_shard_keys_are_listed_with_their_shards(client: Client, custom: str) -> None:
    client.create_shard_key(custom, shard_key("wide"), shards_number=3)
    listed = client.collections.ListShardKeys(api.ListShardKeysRequest(collection_name=custom)).shard_keys
    assert {one.key.keyword or one.key.number for one in listed} == {"a", "b", 7, "empty", "wide"}
    layout = client.collections.CollectionClusterInfo(api.CollectionClusterInfoRequest(collection_name=custom))
    shards = [one.shard_key.keyword or one.shard_key.number for one in layout.local_shards]
    assert sorted(map(str, shards)) == ["7", "a", "b", "empty", "wide", "wide", "wide"]
    counts = {one.shard_key.keyword or one.shard_key.number: one.points_count for one in layout.local_shards}
    assert (counts["a"], counts["b"], counts["empty"]) == (5, 6, 0)
    client.collections.DeleteShardKey(
        api.DeleteShardKeyRequest(collection_name=custom, request=api.DeleteShardKey(shard_key=shard_key("b")))
    )
    assert client.count(custom) == 11


def test_aliases_lead_to_their_collection(client: Client, name: str) -> None:
    client.create(name)
    client.upsert(name, *simple_points(3))
    alias = f"alias-{uuid.uuid4()}"
    create = api.AliasOperations(create_alias=api.CreateAlias(collection_name=name, alias_name=alias))
    client.collections.UpdateAliases(api.ChangeAliases(actions=[create]))
    assert client.count(alias) == 3
    listed = client.collections.ListCollectionAliases(api.ListCollectionAliasesRequest(collection_name=name))
    assert [one.alias_name for one in listed.aliases] == [alias]
    client.collections.Delete(api.DeleteCollection(collection_name=name))
    assert refused(lambda: client.count(alias))[0] == grpc.StatusCode.NOT_FOUND


def test_facets_count_values(client: Client, name: str) -> None:
    client.create(name)
    client.points.CreateFieldIndex(
        api.CreateFieldIndexCollection(
            collection_name=name, wait=True, field_name="tag", field_type=api.FieldTypeKeyword
        )
    )
    client.upsert(name, *(point(key, dense([1] * 4), {"tag": "xxy"[key % 3]}) for key in range(9)))
    hits = client.points.Facet(api.FacetCounts(collection_name=name, key="tag", exact=True)).hits
    assert [(hit.value.string_value, hit.count) for hit in hits] == [("x", 6), ("y", 3)]


def test_refusals_have_the_real_servers_words(client: Client, name: str) -> None:
    gone = f"gone-{uuid.uuid4()}"
    missing = (grpc.StatusCode.NOT_FOUND, f"Not found: Collection `{gone}` doesn't exist!")
    assert refused(lambda: client.count(gone)) == missing
    assert refused(lambda: client.info(gone)) == missing
    client.create(name)
    exists = (grpc.StatusCode.ALREADY_EXISTS, f"Wrong input: Collection `{name}` already exists!")
    assert refused(lambda: client.create(name)) == exists

    invalid = grpc.StatusCode.INVALID_ARGUMENT
    wrong = {
        "Wrong input: Vector dimension error: expected dim: 4, got 3": point(1, dense([1, 2, 3])),
        "Wrong input: Not existing vector name error: nope": point(1, named(nope=dense_vector(1))),
        "Expected some vectors": api.PointStruct(id=api.PointId(num=1)),
        "cannot convert to json number": point(1, payload={"nan": float("nan")}),
        "No ID options provided": api.PointStruct(id=api.PointId(), vectors=dense([1] * 4)),
    }
    for text, broken in wrong.items():
        assert refused(lambda broken=broken: client.upsert(name, broken)) == (invalid, text)
    assert refused(lambda: client.upsert(name)) == (invalid, "Bad request: Empty update request")
    limit = (invalid, "Validation error in body: [limit: value 0 invalid, must be 1 or larger]")
    assert refused(lambda: client.scroll(name, limit=0)) == limit
    query = api.QueryPoints(collection_name=name, query=sample(), limit=0)
    assert refused(lambda: client.points.Query(query)) == limit
    assert client.count(name) == 0


def test_shard_key_refusals_have_the_real_servers_words(client: Client, custom: str) -> None:
    invalid = grpc.StatusCode.INVALID_ARGUMENT
    new = point(1, dense([1] * 4))
    assert refused(lambda: client.upsert(custom, new)) == (invalid, "Wrong input: Shard key not specified")
    unknown = refused(lambda: client.upsert(custom, new, shard_key_selector=keys("nope")))
    assert unknown == (invalid, 'Wrong input: Shard key "nope" not found')
    unknown = refused(lambda: client.scroll(custom, shard_key_selector=keys(8)))
    assert unknown == (invalid, "Bad request: Shard key 8 not found")
    again = refused(lambda: client.create_shard_key(custom, shard_key("a")))
    assert again == (invalid, f'Bad request: Sharding key "a" already exists for collection {custom}')


def test_what_it_cannot_do_is_refused_by_name(embedded: Client) -> None:
    name = f"embedded-{uuid.uuid4()}"
    embedded.create(name)
    order = api.ScrollPoints(collection_name=name, order_by=api.OrderBy(key="x"))
    fusion = api.QueryPoints(collection_name=name, query=api.Query(fusion=api.Fusion.RRF))
    radius = api.FieldCondition(key="x", geo_radius=api.GeoRadius(radius=1))
    geo = api.ScrollPoints(collection_name=name, filter=api.Filter(must=[api.Condition(field=radius)]))
    turbo = api.VectorsConfig(params=api.VectorParams(size=4, distance=api.Dot, datatype=api.Turbo4))
    calls: dict[str, Callable[[], Any]] = {
        "the call Recommend": lambda: embedded.points.Recommend(api.RecommendPoints(collection_name=name)),
        "`order_by` in Scroll": lambda: embedded.points.Scroll(order),
        "`fusion` in Query": lambda: embedded.points.Query(fusion),
        "the condition `geo_radius` in a filter": lambda: embedded.points.Scroll(geo),
        "vectors of the datatype Turbo4": lambda: embedded.create(f"{name}-turbo", turbo),
        "the call List": lambda: api.SnapshotsStub(embedded.channel).List(
            api.ListSnapshotsRequest(collection_name=name)
        ),
    }
    for what, call in calls.items():
        assert refused(call) == (grpc.StatusCode.UNIMPLEMENTED, f"the embedded Qdrant does not serve {what}")


def test_it_says_what_it_is(embedded: Client) -> None:
    reply = api.QdrantStub(embedded.channel).HealthCheck(api.HealthCheckRequest())
    assert (reply.title, reply.commit) == ("qdrant - vector search engine", "embedded")
    check = embedded.channel.unary_unary("/grpc.health.v1.Health/Check")
    assert check(b"") == b"\x08\x01"


def test_a_point_of_forty_megabytes_goes_through(embedded: Client) -> None:
    name = f"embedded-{uuid.uuid4()}"
    embedded.create(name)
    embedded.upsert(name, point(1, dense([1] * 4), {"large": "x" * 40_000_000}))
    assert len(embedded.contents(name)["1"].payload["large"].string_value) == 40_000_000


def test_calls_without_the_api_key_are_refused(tmp_path: Path) -> None:
    with EmbeddedQdrant(tmp_path, api_key="a secret") as server:
        client = Client(server.url)
        request = api.ListCollectionsRequest()

        def answer(*metadata: tuple[str, str]) -> Any:
            return client.collections.List(request, metadata=metadata)

        denied = grpc.StatusCode.UNAUTHENTICATED
        asked = "Must provide an API key or an Authorization bearer token"
        assert refused(answer) == (denied, asked)
        assert refused(lambda: answer(("api-key", "wrong"))) == (denied, "Invalid API key or JWT")
        assert not answer(("api-key", "a secret")).collections
        assert not answer(("authorization", "Bearer a secret")).collections
        assert api.QdrantStub(client.channel).HealthCheck(api.HealthCheckRequest()).title
        command = Path(f"/proc/{server.pid}/cmdline")
        if command.exists():
            assert b"a secret" not in command.read_bytes()


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A self-signed certificate for localhost, and its key."""
    files = tmp_path / "certificate.pem", tmp_path / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost", "-out", str(files[0]), "-keyout", str(files[1])]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("no openssl on PATH")
    return files


def test_tls(tmp_path: Path, certificate: tuple[Path, Path]) -> None:
    with EmbeddedQdrant(tmp_path / "data", tls=certificate) as server:
        assert server.url.startswith("https://")
        trust = grpc.ssl_channel_credentials(certificate[0].read_bytes())
        with grpc.secure_channel(f"localhost:{server.port}", trust) as channel:
            assert api.QdrantStub(channel).HealthCheck(api.HealthCheckRequest()).title


def test_kill_in_the_middle_of_writes_loses_nothing_acknowledged(tmp_path: Path) -> None:
    server = EmbeddedQdrant(tmp_path / "data").start()
    client = Client(server.url)
    client.create("auto", dense_params(16), metadata=values({"kept": True}))
    client.create("custom", sharding_method=api.Custom)
    for key in ("a", 7):
        client.create_shard_key("custom", shard_key(key))
    client.upsert("custom", point(1, dense([1] * 4), {"in": "a"}), shard_key_selector=keys("a"))
    client.upsert("custom", point(1, dense([2] * 4), {"in": "7"}), shard_key_selector=keys(7))
    client.points.CreateFieldIndex(
        api.CreateFieldIndexCollection(
            collection_name="auto", wait=True, field_name="number", field_type=api.FieldTypeInteger
        )
    )
    refused(lambda: client.upsert("auto", point(1, dense([1, 2]))))
    acknowledged: dict[int, api.PointStruct] = {}
    enough = threading.Event()

    def write(worker: int) -> None:
        batch = 0
        while True:
            start = (batch * 4 + worker) * 100
            points = simple_points(100, start, size=16)
            try:
                client.upsert("auto", *points)
                last = points[0]
                client.set_payload("auto", ids(last.id.num), changed=True)
            except grpc.RpcError:
                return
            last.payload["changed"].bool_value = True
            acknowledged.update({one.id.num: one for one in points})
            batch += 1
            if len(acknowledged) > 5000:
                enough.set()

    with ThreadPoolExecutor(4) as pool:
        writers = [pool.submit(write, worker) for worker in range(4)]
        assert enough.wait(60)
        server.kill()
        for writer in writers:
            writer.result()
    port = server.port
    with server.start():
        assert server.port == port
        client = Client(server.url)
        found = client.contents("auto")
        for number, written in acknowledged.items():
            read = found[str(number)]
            assert dict(read.payload) == dict(written.payload)
            assert read.vectors.SerializeToString() == written.vectors.SerializeToString()
        info = client.info("auto")
        assert info.config.metadata["kept"].bool_value
        assert info.payload_schema["number"].points == len(found)
        for key in ("a", 7):
            (one,) = client.scroll("custom", shard_key_selector=keys(key)).result
            assert one.payload["in"].string_value == str(key)


def test_restart_brings_back_settings_indexes_and_aliases(tmp_path: Path) -> None:
    create = api.AliasOperations(create_alias=api.CreateAlias(collection_name="one", alias_name="other"))
    with EmbeddedQdrant(tmp_path / "data") as server:
        client = Client(server.url)
        client.create("one", hnsw_config=api.HnswConfigDiff(m=9))
        client.create("dropped")
        client.collections.Update(
            api.UpdateCollection(
                collection_name="one", optimizers_config=api.OptimizersConfigDiff(indexing_threshold=1)
            )
        )
        client.collections.UpdateAliases(api.ChangeAliases(actions=[create]))
        client.collections.Delete(api.DeleteCollection(collection_name="dropped"))
        before = client.info("one")
    with server.start():
        client = Client(server.url)
        assert client.info("other").config == before.config
        assert before.config.hnsw_config.m == 9
        assert [one.name for one in client.collections.List(api.ListCollectionsRequest()).collections] == ["one"]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "qmig", "embedded", "qdrant", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_errors_are_one_line_with_the_value_and_what_to_do(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("no certificate")
    data = str(tmp_path / "other")
    with EmbeddedQdrant(tmp_path / "data") as server:
        cases = [
            (["--path", str(tmp_path / "data")], str(tmp_path / "data"), "another --path"),
            (["--path", data, "--port", str(server.port)], str(server.port), "another --port"),
            (["--path", str(file / "under")], str(file / "under"), "--path a directory"),
            (["--path", data, "--tls-cert", "/no/c", "--tls-key", "/no/k"], "/no/c", "give a PEM file"),
            (["--path", data, "--tls-cert", str(file), "--tls-key", str(file)], str(file), "PEM files"),
        ]
        for arguments, value, advice in cases:
            ended = run(*arguments)
            (line,) = ended.stderr.splitlines()
            assert (ended.returncode, ended.stdout) == (1, "")
            assert line.startswith("Error: ")
            assert value in line
            assert advice in line
    assert run("--path", data, "--tls-cert", str(file)).returncode == 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly(tmp_path: Path, number: signal.Signals) -> None:
    server = EmbeddedQdrant(tmp_path / "data").start()
    assert server.process is not None
    Client(server.url).create("one")
    os.kill(server.pid, number)
    assert server.process.wait(20) == 0
    assert not server.process.read_stderr()


def test_it_does_not_outlive_a_killed_parent(tmp_path: Path) -> None:
    if sys.platform != "linux":
        pytest.skip("the parent-death signal is Linux's")
    script = (
        "import sys, time; from pathlib import Path; from qmig.embedded.qdrant import EmbeddedQdrant; "
        "print(EmbeddedQdrant(Path(sys.argv[1])).start().pid, flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "data")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.kill()
    assert ended_within(child, seconds=5)
    with EmbeddedQdrant(tmp_path / "data") as server:
        assert server.url


def ended_within(pid: int, seconds: float) -> bool:
    """Whether a process ends in time; one that nobody has waited for has ended, too."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.05)
    return False
