"""A Milvus collection and the Qdrant collection that it is migrated to, for the tests on contents."""

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pymilvus import DataType, MilvusClient
from qdrant_client import grpc as api
from qdrant_client.conversions.conversion import grpc_to_payload

from qmig.ledger.ledger import Ledger
from qmig.ledger.records import ChunkRecord
from qmig.qdrant.keys import PointKey
from qmig.qdrant.server import Server
from tests.support.command import Run

Vector = list[float] | dict[int, float] | list[list[float]]


@dataclass
class Point:
    """A point as the target has it."""

    payload: dict[str, Any]
    vectors: dict[str, Vector]


@dataclass
class Migration:
    """`qmig milvus` from one collection, over the shared fleet."""

    qmig: Run
    broker: str
    url: str
    client: MilvusClient
    source_name: str
    target: Server
    target_name: str
    ledger: str

    @property
    def arguments(self) -> list[str]:
        """The arguments of every call."""
        return [
            "milvus", "--source-url", self.url, "--source-collection", self.source_name,
            "--target-url", self.target.endpoint.url, "--target-collection", self.target_name,
            "--migration-offsets-collection-name", self.ledger,
        ]  # fmt: skip

    @property
    def where(self) -> list[str]:
        """The options that name the ledger, for the other commands."""
        return ["--target-url", self.target.endpoint.url, "--migration-offsets-collection-name", self.ledger]

    def create(
        self,
        vectors: dict[str, tuple[DataType, int, str]] | None = None,
        fields: dict[str, dict[str, Any]] | None = None,
        key: DataType = DataType.INT64,
        dynamic: bool = False,
        index: bool = True,
        **settings: Any,
    ) -> None:
        """Make the source: vectors by name as (type, dimensions, metric), other fields as arguments of `add_field`.

        Its key is `pk`, and by default there is one vector `v` of two dimensions.
        """
        schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=dynamic)
        longest = {"max_length": 65535} if key == DataType.VARCHAR else {}
        schema.add_field("pk", key, is_primary=True, **longest)
        for name, arguments in (fields or {}).items():
            schema.add_field(name, **arguments)
        indexes = self.client.prepare_index_params()
        for name, (kind, size, metric) in (vectors or {"v": (DataType.FLOAT_VECTOR, 2, "L2")}).items():
            dimensions = {} if kind == DataType.SPARSE_FLOAT_VECTOR else {"dim": size}
            schema.add_field(name, kind, **dimensions)
            index_type = {
                DataType.SPARSE_FLOAT_VECTOR: "SPARSE_INVERTED_INDEX",
                DataType.BINARY_VECTOR: "BIN_FLAT",
            }.get(kind, "FLAT")
            indexes.add_index(name, index_type=index_type, metric_type=metric)
        self.client.create_collection(
            self.source_name, schema=schema, index_params=indexes if index else None, **settings
        )

    def insert(self, rows: Sequence[dict[str, Any]], partition: str = "") -> None:
        """Insert rows, a `v` for each that has none."""
        filled = [row if "v" in row else {**row, "v": [1.0, 2.0]} for row in rows]
        for start in range(0, len(filled), 5000):
            self.client.insert(self.source_name, filled[start : start + 5000], partition_name=partition)

    def run(self, *arguments: str, **settings: Any) -> subprocess.CompletedProcess[str]:
        """Migrate."""
        return self.qmig(*self.arguments, *arguments, **{"broker": self.broker, **settings})

    def succeed(self, *arguments: str) -> dict[str, Point]:
        """Migrate into a new collection, and return the target's points."""
        done = self.run("-c", *arguments)
        assert done.returncode == 0, done.stderr
        return self.points()

    def rejects(self) -> list[dict[str, Any]]:
        """The rejects that `qmig rejects` lists."""
        return [json.loads(line) for line in self.qmig("rejects", *self.where, "--json").stdout.splitlines()]

    def chunks(self) -> list[ChunkRecord]:
        """The chunks in the ledger."""
        ledger = Ledger(self.target, self.ledger)
        (record,) = ledger.migrations()
        return ledger.chunks(record.migration, range(record.chunks))

    def points(self) -> dict[str, Point]:
        """Every point of the target by its id."""
        found: dict[str, Point] = {}
        offset: api.PointId | None = None
        while True:
            page = self.target.call(
                self.target.points.Scroll,
                api.ScrollPoints(
                    collection_name=self.target_name,
                    limit=1000,
                    offset=offset,
                    with_payload=api.WithPayloadSelector(enable=True),
                    with_vectors=api.WithVectorsSelector(enable=True),
                ),
            )
            for point in page.result:
                found[PointKey.of(point.id).text] = Point(
                    grpc_to_payload(point.payload),
                    {name: _vector(vector) for name, vector in point.vectors.vectors.vectors.items()},
                )
            if not page.HasField("next_page_offset"):
                return found
            offset = page.next_page_offset


def _vector(vector: api.VectorOutput) -> Vector:
    kind = vector.WhichOneof("vector")
    if kind == "sparse" or vector.indices.data:
        sparse = vector.sparse if kind == "sparse" else None
        indices = sparse.indices if sparse else vector.indices.data
        return dict(zip(indices, sparse.values if sparse else vector.data, strict=True))
    if kind == "multi_dense":
        return [list(one.data) for one in vector.multi_dense.vectors]
    return list(vector.dense.data) if kind == "dense" else list(vector.data)
