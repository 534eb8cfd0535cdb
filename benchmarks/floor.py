"""The servers' floor: what they need for the same points when the client does nothing with them.

Two processes read the source's chunks into nothing and write upserts that were made ready before, both at once:
in each process one thread has one scroll under way, another one upsert, as a worker of qmig has.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from multiprocessing.synchronize import Barrier
from pathlib import Path
from threading import Thread
from typing import Any

from collections_of_points import delete
from other_load import OtherLoad

from qmig.coordinator.plan import cut, plan_size
from qmig.migration import Endpoint
from qmig.qdrant import messages as api
from qmig.qdrant.create import create_request, loading_request
from qmig.qdrant.keys import PointKey
from qmig.qdrant.passthrough import upsert_request
from qmig.qdrant.payload_indexes import create_index
from qmig.qdrant.payload_indexes import missing_indexes as target_missing_indexes
from qmig.qdrant.reader import SCROLL
from qmig.qdrant.server import Server
from qmig.qdrant.writer import UPSERT
from qmig.sources.qdrant import QdrantSource

PROCESSES = 2


@dataclass(frozen=True)
class Request:
    """The place of a serialized request in the file of all requests."""

    start: int
    size: int


@dataclass(frozen=True)
class Chunk:
    """One chunk's requests, in order."""

    scrolls: list[Request]
    upserts: list[Request]


@dataclass(frozen=True)
class Prepared:
    """All requests of a floor, ready to send."""

    file: Path
    chunks: list[Chunk]
    batch: int


@dataclass(frozen=True)
class Floor:
    """Seconds until all was read and written, those of the reading and of the writing; CPU seconds of the clients,
    and cores that others took meanwhile."""

    wall: float
    reading: float
    writing: float
    cpu: float
    others: float


def prepare(source: QdrantSource, target_collection: str, batch_bytes: int, directory: Path) -> Prepared:
    """Scroll the source once, and keep every request of the way into `target_collection`."""
    header = api.UpsertPoints(collection_name=target_collection, wait=True).SerializeToString()
    sample = source.start_read(None, None, None, 500).result().points
    batch = max(1, batch_bytes * len(sample) // sum(map(len, sample)))
    file = directory / "requests"
    chunks: list[Chunk] = []
    with file.open("wb") as out:

        def keep(request: bytes) -> Request:
            out.write(request)
            return Request(out.tell() - len(request), len(request))

        for planned in cut(source, plan_size(source, None), "floor"):
            chunk = Chunk([], [])
            key = planned.start
            while True:
                read = source.start_read(None, key, planned.end, batch).result()
                if read.points:
                    # Near its end a chunk has fewer points than a batch: the floor asks for no more than these.
                    scroll = _scroll(source.collection, key, len(read.points))
                    chunk.scrolls.append(keep(scroll.SerializeToString()))
                    chunk.upserts.append(keep(upsert_request(header, read.points)))
                key = read.next_key
                if key is None:
                    break
            chunks.append(chunk)
    return Prepared(file, chunks, batch)


def _scroll(collection: str, key: str | None, limit: int) -> api.ScrollPoints:
    return api.ScrollPoints(
        collection_name=collection,
        limit=limit,
        offset=None if key is None else PointKey(key).to_message(),
        with_payload=api.WithPayloadSelector(enable=True),
        with_vectors=api.WithVectorsSelector(enable=True),
    )


def create_target(server: Server, source: api.CollectionInfo, name: str) -> None:
    """A target as qmig prepares one: the source's settings, no vector index while loading, payload indexes."""
    delete(server, name)
    server.call(server.collections.Create, create_request(source, name))
    server.call(server.collections.Update, loading_request(QdrantSource(server, name).describe().info, name))
    for field, info in target_missing_indexes(source, api.CollectionInfo()).items():
        create_index(server, name, field, info)


def run(source: Endpoint, target: Endpoint, prepared: Prepared, load: OtherLoad) -> Floor:
    """Send all requests of `prepared`."""
    spawn = multiprocessing.get_context("spawn")
    results: Any = spawn.Queue()
    ready = spawn.Barrier(PROCESSES + 1)
    counters = [spawn.Value("i", 0) for _ in range(2)]
    processes = [
        spawn.Process(target=_process, args=(source, target, prepared, counters, ready, results))
        for _ in range(PROCESSES)
    ]
    for process in processes:
        process.start()
    ready.wait()
    load.start()
    measured = [results.get(timeout=600) for _ in processes]
    cpu = sum(one[3] for one in measured)
    others = load.cores()
    ready.wait()
    for process in processes:
        process.join()
    began = min(one[0] for one in measured)
    reading = max(one[1] for one in measured) - began
    writing = max(one[2] for one in measured) - began
    return Floor(max(reading, writing), reading, writing, cpu, others)


def _process(
    source: Endpoint, target: Endpoint, prepared: Prepared, counters: list[Any], ready: Barrier, results: Any
) -> None:
    content = prepared.file.read_bytes()

    def load(requests: Iterable[Request]) -> list[bytes]:
        return [content[one.start : one.start + one.size] for one in requests]

    scrolls = [load(chunk.scrolls) for chunk in prepared.chunks]
    upserts = [load(chunk.upserts) for chunk in prepared.chunks]
    with Server(source, "source") as reading, Server(target, "target") as writing:
        for server in (reading, writing):
            server.call(server.health.HealthCheck, api.HealthCheckRequest())
        ends = [0.0, 0.0]
        threads = [
            Thread(target=_send_all, args=(reading.raw_method(SCROLL), scrolls, counters[0], ends, 0)),
            Thread(target=_send_all, args=(writing.raw_method(UPSERT), upserts, counters[1], ends, 1, _is_completed)),
        ]
        ready.wait()
        began, before = time.monotonic(), _cpu_seconds()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    if 0.0 in ends:
        # A thread that failed has printed why.
        os._exit(1)
    results.put((began, *ends, _cpu_seconds() - before))
    # The parent looks at what its children took before they end.
    ready.wait()


def _send_all(
    method: Any,
    chunks: list[list[bytes]],
    counter: Any,
    ends: list[float],
    place: int,
    is_right: Callable[[bytes], bool] = bool,
) -> None:
    """Take chunk after chunk, as a worker of the fleet does, and note when there was none left."""
    while True:
        with counter.get_lock():
            index = counter.value
            counter.value += 1
        if index >= len(chunks):
            break
        for request in chunks[index]:
            answer = method(request)
            if not is_right(answer):
                raise RuntimeError(f"request {place} of chunk {index} failed: {answer!r}")
    ends[place] = time.monotonic()


def _is_completed(answer: bytes) -> bool:
    return bool(api.PointsOperationResponse.FromString(answer).result.status == api.Completed)


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
