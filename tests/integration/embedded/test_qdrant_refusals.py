"""The embedded Qdrant refuses what a real one refuses, in the same words, and names what it does not serve."""

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
from qdrant_client import grpc as api

from qmig.embedded.qdrant import EmbeddedQdrant
from tests.support.collections import dense, dense_vector, named, point
from tests.support.qdrant_client import Client, keys, refused, sample, shard_key


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
