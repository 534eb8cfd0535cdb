"""The demo's Qdrant half: the texts as points, and both ends compared."""

import uuid
from collections.abc import Callable, Sequence

from qmig.embedded.demo.texts import DIMENSIONS, Text, embed
from qmig.qdrant import messages as api
from qmig.qdrant.payload import to_payload
from qmig.qdrant.reader import CollectionReader
from qmig.qdrant.server import Server

BATCH = 500
PAGE = 2000


def fill(server: Server, collection: str, texts: Sequence[Text], check: Callable[[], None]) -> None:
    """Create the collection with two payload indexes and put the texts into it.

    `check` is called before each batch, and may raise.
    """
    params = api.VectorParams(size=DIMENSIONS, distance=api.Cosine)
    request = api.CreateCollection(collection_name=collection, vectors_config=api.VectorsConfig(params=params))
    server.call(server.collections.Create, request)
    for field, kind in (("module", api.FieldTypeKeyword), ("line", api.FieldTypeInteger)):
        index = api.CreateFieldIndexCollection(
            collection_name=collection, wait=True, field_name=field, field_type=kind
        )
        server.call(server.points.CreateFieldIndex, index)
    points: list[api.PointStruct] = []
    for number, (text, payload) in enumerate(texts):
        # Numbers and UUIDs, because both occur.
        point_id = (
            api.PointId(num=number)
            if number % 3
            else api.PointId(uuid=str(uuid.uuid5(uuid.NAMESPACE_URL, f"{number} {text}")))
        )
        vectors = api.Vectors(vector=api.Vector(dense=api.DenseVector(data=embed(text).tolist())))
        points.append(api.PointStruct(id=point_id, vectors=vectors, payload=to_payload(payload)))
        if len(points) == BATCH:
            check()
            _upsert(server, collection, points)
            points = []
    if points:
        _upsert(server, collection, points)


def _upsert(server: Server, collection: str, points: Sequence[api.PointStruct]) -> None:
    request = api.UpsertPoints(collection_name=collection, wait=True, points=points)
    server.call(server.points.Upsert, request)


def differing_points(source: Server, target: Server, collection: str, check: Callable[[], None]) -> int:
    """Return how many points differ, payload or vector, or are at one end only.

    `check` is called before each page, and may raise.
    """
    ours, theirs = _contents(source, collection, check), _contents(target, collection, check)
    return sum(ours.get(key) != theirs.get(key) for key in ours.keys() | theirs.keys())


def _contents(server: Server, collection: str, check: Callable[[], None]) -> dict[str, bytes]:
    reader = CollectionReader(server, collection)
    found: dict[str, bytes] = {}
    batch = reader.start_read(None, None, None, PAGE).result()
    while True:
        for raw in batch.points:
            canonical = api.PointStruct.FromString(raw).SerializeToString(deterministic=True)
            found[reader.key_of(raw)] = canonical
        if batch.next_key is None:
            return found
        check()
        batch = reader.start_read(None, batch.next_key, None, PAGE).result()
