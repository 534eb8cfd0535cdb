"""Points of the embedded Qdrant are written, read, filtered and queried as a real one's are."""

import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from qdrant_client import grpc as api

from tests.support.collections import (
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
from tests.support.qdrant_client import Client, has_id, ids, key_of, keys, matches, sample, values

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


def test_a_point_of_forty_megabytes_goes_through(embedded: Client) -> None:
    name = f"embedded-{uuid.uuid4()}"
    embedded.create(name)
    embedded.upsert(name, point(1, dense([1] * 4), {"large": "x" * 40_000_000}))
    assert len(embedded.contents(name)["1"].payload["large"].string_value) == 40_000_000
