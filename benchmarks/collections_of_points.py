"""Collections to measure with: made with points of several types, and digested for the comparison at the end."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from qmig.errors import NotFoundError
from qmig.qdrant import messages as api
from qmig.qdrant.collection import exact_count
from qmig.qdrant.payload import to_payload
from qmig.qdrant.payload_indexes import create_index
from qmig.qdrant.server import Server

FILL_BATCH = 1000
DIGEST_PAGE = 2000
INDEXES = {"category": api.Keyword, "price": api.Float}


@dataclass(frozen=True)
class Dataset:
    """A collection of `points` vectors of `size` dimensions with five payload fields, two of them indexed."""

    points: int
    size: int

    @property
    def name(self) -> str:
        return f"qmig-benchmark-{self.points}x{self.size}"

    @property
    def copy_name(self) -> str:
        return f"{self.name}-copy"

    @property
    def title(self) -> str:
        return f"{self.points:,} x {self.size}-d"

    @classmethod
    def parse(cls, text: str) -> Dataset:
        """`200000x128` is 200,000 points of 128 dimensions."""
        points, size = text.split("x")
        return cls(int(points), int(size))

    def make(self, server: Server) -> None:
        """Create and fill the collection; one that is there with all its points is taken as it is."""
        try:
            if exact_count(server, self.name, None) == self.points:
                return
            delete(server, self.name)
        except NotFoundError:
            pass
        params = api.VectorParams(size=self.size, distance=api.Cosine)
        request = api.CreateCollection(
            collection_name=self.name,
            vectors_config=api.VectorsConfig(params=params),
            # An index that is being built would take the machine from what is measured.
            optimizers_config=api.OptimizersConfigDiff(indexing_threshold=0),
        )
        server.call(server.collections.Create, request)
        for field, kind in INDEXES.items():
            create_index(server, self.name, field, api.PayloadSchemaInfo(data_type=kind))
        for points in self._batches():
            upsert = api.UpsertPoints(collection_name=self.name, wait=True, points=points)
            server.call(server.points.Upsert, upsert)

    def _batches(self) -> Iterator[list[api.PointStruct]]:
        random = np.random.default_rng(self.points)
        for start in range(0, self.points, FILL_BATCH):
            keys = range(start, min(start + FILL_BATCH, self.points))
            vectors = random.standard_normal((len(keys), self.size), dtype=np.float32)
            yield [_point(key, vector.tolist()) for key, vector in zip(keys, vectors, strict=True)]


def _point(key: int, vector: list[float]) -> api.PointStruct:
    payload = {
        "title": f"Product number {key} of the benchmark's catalogue",
        "category": f"category {key % 97}",
        "price": key % 10_007 / 100,
        "stock": {"count": key % 13, "orderable": key % 3 == 0},
        "tags": [f"tag {key % 7}", f"tag {key % 11}", None],
    }
    return api.PointStruct(
        id=api.PointId(num=key),
        payload=to_payload(payload),
        vectors=api.Vectors(vector=api.Vector(dense=api.DenseVector(data=vector))),
    )


def delete(server: Server, name: str) -> None:
    """Drop a collection; one that is not there is no error."""
    server.call(server.collections.Delete, api.DeleteCollection(collection_name=name))


def digest(server: Server, name: str) -> tuple[int, str]:
    """The number of points, and a hash over id, payload and vectors of every one in the order of the ids."""
    hashed = hashlib.blake2b(digest_size=16)
    count = 0
    offset: api.PointId | None = None
    while True:
        request = api.ScrollPoints(
            collection_name=name,
            limit=DIGEST_PAGE,
            offset=offset,
            with_payload=api.WithPayloadSelector(enable=True),
            with_vectors=api.WithVectorsSelector(enable=True),
        )
        page = server.call(server.points.Scroll, request)
        for point in page.result:
            # A payload is a map, whose order is the server's mood.
            hashed.update(point.SerializeToString(deterministic=True))
        count += len(page.result)
        if not page.HasField("next_page_offset"):
            return count, hashed.hexdigest()
        offset = page.next_page_offset
