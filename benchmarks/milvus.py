"""Milvus to Qdrant beside its floor: qmig on two warm workers, a read of the same ranges into nothing, and a plain
`client.query` loop.

    python benchmarks/milvus.py --source-url http://a:19530 --target-url http://b:6334

The collection has the given rows, five scalar fields and one vector; it is made at the source and deleted at the end.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass

import numpy as np
from measured_qmig import Run, WarmFleet
from other_load import OtherLoad
from pymilvus import DataType, MilvusClient

from qmig.migration import Credentials, Endpoint, Migration, SourceSpec, TargetSpec
from qmig.qdrant import messages as api
from qmig.qdrant.collection import collection_names
from qmig.qdrant.server import Server
from qmig.rpc.connection import RETRY_FOR
from qmig.sources.milvus import open_source
from qmig.sources.milvus.ranges import RangeRead

NAME = "qmig_benchmark"
LEDGER = "qmig-benchmark-ledger"
INSERTED_AT_ONCE = 5_000
CHUNK = 10_000
BATCH = 1_000


@dataclass(frozen=True)
class Read:
    """Rows a second, and CPU of this process per row in µs."""

    rows: int
    seconds: float
    cpu: float

    def __str__(self) -> str:
        rate, cpu = self.rows / self.seconds, self.cpu / self.rows * 1e6
        return f"{self.seconds:6.1f} s  {rate:9,.0f} rows/s  {cpu:6.1f} µs CPU a row"


def fill(client: MilvusClient, rows: int, size: int) -> None:
    """The collection, in an order that is not its keys'."""
    if client.has_collection(NAME):
        client.drop_collection(NAME)
    schema = MilvusClient.create_schema(auto_id=False)
    schema.add_field("pk", DataType.INT64, is_primary=True)
    schema.add_field("number", DataType.INT64)
    schema.add_field("flag", DataType.BOOL)
    schema.add_field("price", DataType.FLOAT)
    schema.add_field("weight", DataType.DOUBLE)
    schema.add_field("title", DataType.VARCHAR, max_length=200)
    schema.add_field("v", DataType.FLOAT_VECTOR, dim=size)
    indexes = client.prepare_index_params()
    indexes.add_index("v", index_type="FLAT", metric_type="COSINE")
    client.create_collection(NAME, schema=schema, index_params=indexes)
    generator = np.random.default_rng(1)
    keys = generator.permutation(rows).tolist()
    for start in range(0, rows, INSERTED_AT_ONCE):
        some = keys[start : start + INSERTED_AT_ONCE]
        vectors = generator.random((len(some), size), dtype=np.float32)
        client.insert(
            NAME,
            [
                {
                    "pk": key,
                    "number": key * 3,
                    "flag": key % 2 == 0,
                    "price": key / 8,
                    "weight": key / 7,
                    "title": f"the title of row {key}",
                    "v": vector,
                }
                for key, vector in zip(some, vectors, strict=True)
            ],
        )
    client.flush(NAME)
    client.load_collection(NAME)


def read_into_nothing(url: str, target_url: str) -> Read:
    """The floor: the ranges that qmig reads, from one process, and nothing done with the answers."""
    source = SourceSpec("milvus", Endpoint.parse(url, "--source-url"), NAME)
    migration = Migration(source, TargetSpec(Endpoint.parse(target_url, "--target-url"), NAME))
    opened = open_source(migration, Credentials(), RETRY_FOR)
    opened.freeze_settings(None)
    requests = opened._requests
    rows = opened.count(None, exact=True)
    began, cpu = time.monotonic(), time.process_time()
    for start in range(0, rows, BATCH):
        opened.server.start_query(requests.rows(None, start, start + BATCH, 2 * BATCH)).result()
    result = Read(rows, time.monotonic() - began, time.process_time() - cpu)
    opened.close()
    return result


def read_as_points(url: str, target_url: str) -> Read:
    """The source as a worker reads it, from one process: pages of keys, rows, points; nothing written."""
    source = SourceSpec("milvus", Endpoint.parse(url, "--source-url"), NAME)
    migration = Migration(source, TargetSpec(Endpoint.parse(target_url, "--target-url"), NAME))
    opened = open_source(migration, Credentials(), RETRY_FOR)
    opened.freeze_settings(None)
    rows, key = 0, None
    began, cpu = time.monotonic(), time.process_time()
    reading: RangeRead | None = opened.start_read(None, None, None, BATCH)
    while reading is not None:
        batch = reading.result()
        rows, key = rows + len(batch.points), batch.next_key
        reading = opened.start_read(None, key, None, BATCH) if key is not None else None
    result = Read(rows, time.monotonic() - began, time.process_time() - cpu)
    opened.close()
    return result


def query_loop(client: MilvusClient, rows: int) -> Read:
    """Read with the usual loop: `client.query`, range by range."""
    began, cpu, seen = time.monotonic(), time.process_time(), 0
    for start in range(0, rows, BATCH):
        found = client.query(NAME, filter=f"pk >= {start} and pk < {start + BATCH}", output_fields=["*"], limit=BATCH)
        # pymilvus makes a row when it is looked at.
        seen += sum(len(dict(row)) > 0 for row in found)
    return Read(seen, time.monotonic() - began, time.process_time() - cpu)


def clean(target: Server) -> None:
    for name in (NAME, LEDGER):
        if name in collection_names(target):
            target.call(target.collections.Delete, api.DeleteCollection(collection_name=name))


def describe(run: Run, rows: int) -> str:
    workers, coordinator = run.workers_cpu / rows * 1e6, run.coordinator_cpu / rows * 1e6
    return (
        f"{run.migration:6.1f} s  {rows / run.migration:9,.0f} rows/s  {workers:6.1f} µs CPU a row in the workers, "
        f"{workers + coordinator:.1f} in all; worker {run.worker_memory:.0f} MiB; others took {run.others:.1f} cores"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source-url", required=True)
    parser.add_argument("--target-url", required=True)
    parser.add_argument("--points", default="200000x128", help="rows x dimensions")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--keep", action="store_true", help="keep the source's collection, and use it if it is there")
    given = parser.parse_args()
    rows, size = map(int, given.points.split("x"))
    client = MilvusClient(given.source_url)
    if not given.keep or not client.has_collection(NAME):
        fill(client, rows, size)
    endpoints = [Endpoint.parse(given.source_url, "--source-url"), Endpoint.parse(given.target_url, "--target-url")]
    arguments = [
        "--source-url", given.source_url, "--source-collection", NAME,
        "--target-url", given.target_url, "--target-collection", NAME,
        "--migration-offsets-collection-name", LEDGER, "-c", "--chunk-size", str(CHUNK),
    ]  # fmt: skip
    with (
        Server(endpoints[1], "target") as target,
        WarmFleet(2, OtherLoad(endpoints)) as fleet,
    ):
        clean(target)
        fleet.migrate(*arguments, kind="milvus")
        for _ in range(given.rounds):
            clean(target)
            print(f"read into nothing, one process  {read_into_nothing(given.source_url, given.target_url)}")
            print(f"read as points, one process     {read_as_points(given.source_url, given.target_url)}")
            print(f"client.query, one process       {query_loop(client, rows)}")
            print(
                f"qmig, two workers               {describe(fleet.migrate(*arguments, kind='milvus'), rows)}",
                flush=True,
            )
            # A large batch is to need no more memory.
            clean(target)
            large = fleet.migrate(*arguments, "--batch-size", "10000", kind="milvus")
            print(f"qmig, batches of 10,000         {describe(large, rows)}", flush=True)
        clean(target)
    if not given.keep:
        client.drop_collection(NAME)


if __name__ == "__main__":
    main()
