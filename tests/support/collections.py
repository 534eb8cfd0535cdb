"""Collections for the tests: create, fill, and read them as the server has them."""

import uuid
from collections.abc import Sequence
from typing import Any

from qmig.errors import NotFoundError
from qmig.qdrant import messages as api
from qmig.qdrant.keys import PointKey, shard_key_of, shard_key_selector
from qmig.qdrant.payload import to_payload
from qmig.qdrant.server import Server

PointIds = int | str


def dense_params(size: int = 4, distance: int = api.Dot, **settings: Any) -> api.VectorsConfig:
    """One unnamed dense vector."""
    return api.VectorsConfig(params=api.VectorParams(size=size, distance=distance, **settings))


def named_params(**vectors: api.VectorParams) -> api.VectorsConfig:
    """Named dense vectors."""
    return api.VectorsConfig(params_map=api.VectorParamsMap(map=vectors))


def create(server: Server, name: str, vectors: api.VectorsConfig | None = None, **settings: Any) -> None:
    """Create a collection; without `vectors` it has none."""
    config = vectors or api.VectorsConfig(params_map=api.VectorParamsMap())
    request = api.CreateCollection(collection_name=name, vectors_config=config, **settings)
    server.call(server.collections.Create, request)


def delete(server: Server, name: str) -> None:
    server.call(server.collections.Delete, api.DeleteCollection(collection_name=name))


def dense(values: Sequence[float]) -> api.Vectors:
    return api.Vectors(vector=api.Vector(dense=api.DenseVector(data=values)))


def dense_vector(*values: float) -> api.Vector:
    return api.Vector(dense=api.DenseVector(data=values))


def sparse_vector(values: dict[int, float]) -> api.Vector:
    """A sparse vector by its indices."""
    return api.Vector(sparse=api.SparseVector(indices=list(values), values=list(values.values())))


def multi_vector(*rows: Sequence[float]) -> api.Vector:
    vectors = [api.DenseVector(data=row) for row in rows]
    return api.Vector(multi_dense=api.MultiDenseVector(vectors=vectors))


def named(**vectors: api.Vector) -> api.Vectors:
    """A point's vectors by their names."""
    return api.Vectors(vectors=api.NamedVectors(vectors=vectors))


def point(
    key: PointIds, vectors: api.Vectors | None = None, payload: dict[str, Any] | None = None
) -> api.PointStruct:
    """A point; without `vectors` it has none."""
    point_id = api.PointId(num=key) if isinstance(key, int) else api.PointId(uuid=key)
    return api.PointStruct(
        id=point_id,
        vectors=vectors if vectors is not None else api.Vectors(vectors=api.NamedVectors()),
        payload=to_payload(payload or {}),
    )


def simple_points(count: int, start: int = 0, size: int = 4) -> list[api.PointStruct]:
    """Points with a vector and a payload of their own."""
    return [
        point(
            start + index,
            dense([(start + index) % 997 + step / 8 for step in range(size)]),
            {"title": f"point {start + index}", "number": start + index, "even": index % 2 == 0},
        )
        for index in range(count)
    ]


def fill(server: Server, name: str, points: Sequence[api.PointStruct], shard_key: str | None = None) -> None:
    """Upsert points, a thousand at a time, to the shard key given as text."""
    for start in range(0, len(points), 1000):
        request = api.UpsertPoints(
            collection_name=name,
            wait=True,
            points=points[start : start + 1000],
            shard_key_selector=shard_key_selector(shard_key),
        )
        response = server.call(server.points.Upsert, request)
        assert response.result.status == api.Completed


def delete_points(server: Server, name: str, *keys: int, shard_key: str | None = None) -> None:
    """Delete points by their ids, under the shard key given as text."""
    ids = api.PointsIdsList(ids=[api.PointId(num=key) for key in keys])
    request = api.DeletePoints(
        collection_name=name,
        wait=True,
        points=api.PointsSelector(points=ids),
        shard_key_selector=shard_key_selector(shard_key),
    )
    server.call(server.points.Delete, request)


def contents(server: Server, name: str, shard_key: str | None = None) -> dict[str, bytes]:
    """Read every point by its key, payload and vectors as canonical bytes, under the shard key given as text."""
    found: dict[str, bytes] = {}
    offset: api.PointId | None = None
    while True:
        page = server.call(
            server.points.Scroll,
            api.ScrollPoints(
                collection_name=name,
                limit=2000,
                offset=offset,
                with_payload=api.WithPayloadSelector(enable=True),
                with_vectors=api.WithVectorsSelector(enable=True),
                shard_key_selector=shard_key_selector(shard_key),
            ),
        )
        for one in page.result:
            key = PointKey.of(one.id).text
            assert key not in found, f"{key} was returned twice"
            one.ClearField("shard_key")
            found[key] = one.SerializeToString(deterministic=True)
        if not page.HasField("next_page_offset"):
            return found
        offset = page.next_page_offset


def count(server: Server, name: str) -> int:
    request = api.CountPoints(collection_name=name, exact=True)
    total: int = server.call(server.points.Count, request).result.count
    return total


def info(server: Server, name: str) -> api.CollectionInfo:
    request = api.GetCollectionInfoRequest(collection_name=name)
    found: api.CollectionInfo = server.call(server.collections.Get, request).result
    return found


def exists(server: Server, name: str) -> bool:
    try:
        info(server, name)
    except NotFoundError:
        return False
    return True


def create_shard_key(server: Server, name: str, shard_key: str) -> None:
    """Create a shard key, given as text."""
    request = api.CreateShardKeyRequest(
        collection_name=name, request=api.CreateShardKey(shard_key=shard_key_of(shard_key))
    )
    server.call(server.collections.CreateShardKey, request)


def new_name(prefix: str = "test") -> str:
    return f"{prefix}-{uuid.uuid4().hex[:12]}"
