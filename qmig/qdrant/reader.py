"""Read a Qdrant collection: ranges of its points, its keys, points by their ids."""

import logging
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from math import ceil
from typing import Generic, TypeVar

from qmig.errors import QmigError, TerminalError
from qmig.qdrant import messages as api
from qmig.qdrant.batch import Batch, Boundary, InvalidRow, KeyPage
from qmig.qdrant.collection import (
    allows_exact_counts,
    collection_info,
    exact_count,
    existing_collection_info,
    is_custom,
    strict_mode,
)
from qmig.qdrant.encoding import MAX_LEVELS
from qmig.qdrant.keys import PointKey, shard_key_of, shard_key_selector, shard_key_text
from qmig.qdrant.nesting import too_deep
from qmig.qdrant.passthrough import SuspectPoint, get_request, point_id, raw_id, read_get, read_scroll
from qmig.qdrant.server import Server
from qmig.qdrant.shard_keys import ShardKeyPlacement, shard_keys
from qmig.rpc.call import Call

#: Sampled ids for each chunk. The size of a chunk then varies by 1/sqrt(50), about a seventh.
SAMPLES_PER_CHUNK = 50
#: Sampled ids for one plan.
MAX_SAMPLES = 100_000
#: Queries for one sample, where strict mode allows only a few ids in one answer.
MAX_SAMPLE_QUERIES = 200
#: Seconds for which a sample is tried again before the ids are read instead.
SAMPLE_RETRY_FOR = 10.0
#: Ids in one page of an id-only scroll.
ID_PAGE = 20_000
#: Ids in one request for points.
MAX_IDS_PER_GET = 5_000
#: Stands for "no limit": larger than any limit that a read asks for.
NO_QUERY_LIMIT = 2**31
SCROLL, GET = "/qdrant.Points/Scroll", "/qdrant.Points/Get"

Answer = TypeVar("Answer")

log = logging.getLogger(__name__)


class CollectionReader:
    """Reads one collection of a server.

    A partition is a shard key as JSON text, or None for the whole collection. A key is a point id as text.
    """

    def __init__(self, server: Server, collection: str) -> None:
        self.server = server
        self.collection = collection
        self._scroll = server.raw_method(SCROLL)
        self._get = server.raw_method(GET)
        self._query_limit: int | None = None
        self._draws_samples = True

    # The whole collection

    def partitions(self) -> Sequence[str | None]:
        """List every shard key, or [None] without custom sharding.

        A scroll without a shard key drops ids that repeat across keys, so each key is read by itself.
        """
        if not is_custom(collection_info(self.server, self.collection)):
            return [None]
        return [shard_key_text(placement.shard_key) for placement in self.shard_keys()]

    def shard_keys(self) -> list[ShardKeyPlacement]:
        """List the shard keys with their placement; empty without custom sharding."""
        return shard_keys(self.server, self.collection)

    def count(self, partition: str | None, exact: bool) -> int:
        """Count the points of a partition; an estimate unless `exact`.

        Where strict mode allows no exact count, the ids are read and counted.
        """
        if exact and allows_exact_counts(existing_collection_info(self.server, self.collection)):
            return exact_count(self.server, self.collection, shard_key_of(partition))
        if exact:
            return sum(map(self._count_ids, self.partitions() if partition is None else [partition]))
        request = api.CountPoints(
            collection_name=self.collection, exact=False, shard_key_selector=shard_key_selector(partition)
        )
        return self.server.call(self.server.points.Count, request).result.count

    def count_distinct_ids(self) -> int:
        """Count the ids of the whole collection, each once even where several shard keys have it.

        A scroll without a shard key merges the shards and drops repeats (measured on 1.18).
        """
        return self._count_ids(None)

    def _count_ids(self, partition: str | None) -> int:
        total, offset = 0, None
        while True:
            request = self._scroll_request(partition, offset, ID_PAGE)
            request.with_payload.enable = False
            points, next_page = read_scroll(self.server.call(self._scroll, request.SerializeToString()))
            total += len(points)
            if next_page is None:
                return total
            offset = PointKey.of(next_page).text

    def boundaries(self, partition: str | None, pieces: int, start: str | None) -> Iterator[Boundary]:
        """Cut a partition into about `pieces` ranges of equal size, at ids from a random sample above `start`.

        A server that draws no sample is read through for its ids alone.
        """
        if pieces < 2:
            return
        keys = self._sample(partition, min(MAX_SAMPLES, pieces * SAMPLES_PER_CHUNK)) if self._draws_samples else None
        points = self.count(partition, exact=False)
        if keys is None:
            yield from self._boundaries_by_scroll(partition, -(-points // pieces), start)
            return
        cuts = {keys[len(keys) * piece // pieces] for piece in range(1, pieces)} if keys else set()
        for key in sorted(cuts):
            if start is None or key > PointKey(start):
                yield Boundary(key.text, points // (len(cuts) + 1))

    def _boundaries_by_scroll(self, partition: str | None, size: int, start: str | None) -> Iterator[Boundary]:
        """Read the ids from `start` on, and yield the id after every `size` of them."""
        before = 0
        last: PointKey | None = None
        for page in self._id_pages(partition, start, None):
            for point in page.points:
                key = PointKey.of(point_id(point))
                if last is not None and key <= last:
                    raise TerminalError(
                        f"{self.server.role} {self.server.endpoint.url}: a scroll of {self.collection!r} returned id "
                        f"{key.text} after {last.text}; it cannot be planned by ids that are out of order"
                    )
                if before >= size:
                    yield Boundary(key.text, before)
                    before = 0
                before, last = before + 1, key

    # Ranges

    def start_read(self, partition: str | None, start: str | None, end: str | None, limit: int) -> "RawRead[Batch]":
        """Begin to read at most `limit` points of `[start, end)`, in the order of their ids."""
        request = self._scroll_request(partition, start, limit)
        request.with_payload.enable = True
        request.with_vectors.enable = True
        return self._start_scroll(request, end)

    def start_keys(self, partition: str | None, start: str | None, end: str | None, limit: int) -> "RawRead[KeyPage]":
        """Begin to read at most `limit` keys of `[start, end)`, and nothing else."""
        request = self._scroll_request(partition, start, limit)
        request.with_payload.enable = False

        def keys(response: bytes) -> KeyPage:
            batch = batch_before(response, end)
            return KeyPage([self.key_of(point) for point in batch.points], batch.next_key)

        return RawRead(self.server.start(self._scroll, request.SerializeToString()), keys)

    def start_ids(
        self, partition: str | None, start: str | None, end: str | None, limit: int, field: str | None
    ) -> "RawRead[Batch]":
        """Begin to read points of `[start, end)` with their id and at most one payload field."""
        request = self._scroll_request(partition, start, limit)
        if field is None:
            request.with_payload.enable = False
        else:
            request.with_payload.include.fields.append(field)
        return self._start_scroll(request, end)

    def point_ids(self, partition: str | None, start: str | None, end: str | None) -> set[str]:
        """Read the ids of all points in `[start, end)`."""
        pages = self._id_pages(partition, start, end)
        return {self.key_of(point) for page in pages for point in page.points}

    def _id_pages(self, partition: str | None, start: str | None, end: str | None) -> Iterator[Batch]:
        """Read the points of `[start, end)` page by page, with their ids alone."""
        while True:
            request = self._scroll_request(partition, start, ID_PAGE)
            request.with_payload.enable = False
            page = batch_before(self.server.call(self._scroll, request.SerializeToString()), end)
            yield page
            if page.next_key is None:
                return
            start = page.next_key

    # Points by their ids

    def start_points(self, partition: str | None, keys: Sequence[str]) -> "RawRead[Batch]":
        """Begin to read the points with these keys; those that do not exist are left out, and no order is kept."""
        return self.start_get(partition, [_raw_id(key) for key in keys])

    def start_get(self, partition: str | None, ids: Sequence[bytes]) -> "RawRead[Batch]":
        """Begin to read the points with these raw ids; those that do not exist are left out, and no order is kept."""
        call = self.server.start(self._get, self._get_request(partition, ids, whole=True))
        return RawRead(call, lambda response: _batch(read_get(response), None))

    def start_present(self, partition: str | None, points: Sequence[bytes]) -> "RawRead[set[bytes]]":
        """Begin to ask which of these points exist, by their ids; the answer holds the raw ids."""
        request = self._get_request(partition, [raw_id(point) for point in points], whole=False)
        return RawRead(self.server.start(self._get, request), lambda response: set(map(raw_id, read_get(response))))

    def present_ids(self, ids: Iterable[str], partition: str | None) -> set[str]:
        """Find those of `ids` that exist in a partition."""
        found: set[str] = set()
        left = iter(ids)
        while page := list(islice(left, MAX_IDS_PER_GET)):
            request = self._get_request(partition, [_raw_id(one) for one in page], whole=False)
            found.update(map(self.key_of, read_get(self.server.call(self._get, request))))
        return found

    def key_of(self, point: bytes) -> str:
        """The id of a serialized `PointStruct` as text."""
        return PointKey.of(point_id(point)).text

    def some_ids(self, limit: int) -> list[str]:
        """Draw up to `limit` ids at random, in one attempt: some servers cannot draw any."""
        request = self._sample_request(None, self._allowed(limit))
        answer = self.server.call(self.server.points.Query, request, retry_for=0)
        return [PointKey.of(point.id).text for point in answer.result]

    def payloads(self, ids: Sequence[str]) -> list[bytes]:
        """Read points with their payload alone, as serialized `PointStruct`s."""
        header = api.GetPoints(collection_name=self.collection)
        header.with_payload.enable = True
        request = get_request(header.SerializeToString(), [_raw_id(one) for one in ids])
        return read_get(self.server.call(self._get, request, retry_for=0))

    # Requests

    def _sample(self, partition: str | None, size: int) -> list[PointKey] | None:
        """Draw about `size` ids at random and sort them; several queries where strict mode limits one answer.

        None where the server draws none: an old server, a gateway that does not let the query through, or a
        collection of which every sample fails (one with prevent_unoptimized, measured on 1.19.0).
        """
        keys: list[PointKey] = []
        limit = self._allowed(size)
        for _ in range(min(MAX_SAMPLE_QUERIES, ceil(size / limit))):
            request = self._sample_request(partition, limit)
            try:
                answer = self.server.call(self.server.points.Query, request, retry_for=SAMPLE_RETRY_FOR).result
            except QmigError as error:
                self._draws_samples = False
                log.warning("no sample of the ids can be drawn, so all of them are read to plan: %s", error)
                return None
            keys += [PointKey.of(point.id) for point in answer]
        return sorted(keys)

    def _sample_request(self, partition: str | None, limit: int) -> api.QueryPoints:
        return api.QueryPoints(
            collection_name=self.collection,
            query=api.Query(sample=api.Random),
            limit=limit,
            with_payload=api.WithPayloadSelector(enable=False),
            with_vectors=api.WithVectorsSelector(enable=False),
            shard_key_selector=shard_key_selector(partition),
        )

    def _allowed(self, limit: int) -> int:
        """Reduce the limit of a query or scroll to what the collection's strict mode allows."""
        if self._query_limit is None:
            self._query_limit = strict_mode(collection_info(self.server, self.collection)).max_query_limit
        return min(limit, self._query_limit or NO_QUERY_LIMIT)

    def _get_request(self, partition: str | None, ids: Sequence[bytes], whole: bool) -> bytes:
        """A request for points by their raw ids, with payload and vectors if `whole`."""
        header = api.GetPoints(collection_name=self.collection, shard_key_selector=shard_key_selector(partition))
        header.with_payload.enable = header.with_vectors.enable = whole
        return get_request(header.SerializeToString(), ids)

    def _start_scroll(self, request: api.ScrollPoints, end: str | None) -> "RawRead[Batch]":
        call = self.server.start(self._scroll, request.SerializeToString())
        return RawRead(call, lambda response: batch_before(response, end))

    def _scroll_request(self, partition: str | None, start: str | None, limit: int) -> api.ScrollPoints:
        return api.ScrollPoints(
            collection_name=self.collection,
            limit=self._allowed(limit),
            offset=None if start is None else PointKey(start).to_message(),
            shard_key_selector=shard_key_selector(partition),
        )


class RawRead(Generic[Answer]):
    """A call under way whose answer is converted from its bytes."""

    def __init__(self, call: Call[bytes], convert: Callable[[bytes], Answer]) -> None:
        self._call = call
        self._convert = convert

    def wait(self, seconds: float) -> bool:
        """Wait for the answer, at most `seconds`; whether it has arrived."""
        return self._call.wait(seconds)

    def result(self) -> Answer:
        """Wait for the answer; TransientError or TerminalError where the call failed."""
        return self._convert(self._call.result())


def batch_before(response: bytes, end: str | None) -> Batch:
    """The points of a scroll response below `end`: a scroll has a start, but no end."""
    points, next_page = read_scroll(response)
    next_key = None if next_page is None else PointKey.of(next_page)
    if end is not None:
        stop = PointKey(end)
        if next_key is None or next_key >= stop:
            next_key = None
            del points[bisect_left(points, stop, key=lambda point: PointKey.of(point_id(point))) :]
    return _batch(points, None if next_key is None else next_key.text)


def _batch(points: list[bytes], next_key: str | None) -> Batch:
    """A batch of points, without those that no server survives."""
    if any(isinstance(point, SuspectPoint) for point in points):
        return Batch.of(list(map(_checked, points)), next_key)
    return Batch(points, next_key)


def _checked(point: bytes) -> bytes | InvalidRow:
    """The point itself, or why it cannot be copied."""
    found = too_deep(point) if isinstance(point, SuspectPoint) else None
    if found is None:
        return point
    name, levels = found
    key = PointKey.of(point_id(point)).text
    return InvalidRow(
        key,
        key,
        f"its payload field {name!r} is nested {levels} deep, and after a write of more than {MAX_LEVELS} levels a "
        "Qdrant does not start again; make the field less deep",
    )


def _raw_id(key: str) -> bytes:
    return PointKey(key).to_message().SerializeToString()
