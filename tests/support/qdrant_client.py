"""A client of one Qdrant endpoint: the calls that most of its tests make, and the parts of their requests."""

from collections.abc import Callable
from typing import Any

import grpc
import pytest
from qdrant_client import grpc as api

from tests.support.collections import dense_params, point
from tests.support.connections import open_channel, until_serving

UNLIMITED = {"grpc.max_receive_message_length": -1, "grpc.max_send_message_length": -1}


class Client:
    """The stubs of one endpoint, which answers already, and the calls that most tests make."""

    def __init__(self, url: str) -> None:
        until_serving(url)
        self.channel = open_channel(url, UNLIMITED)
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
