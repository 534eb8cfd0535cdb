"""Read a Qdrant collection: ranges of its points, its keys, points by their ids."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from qmig.qdrant import messages as api
from qmig.qdrant.batch import Batch, Boundary, IdPage, KeyPage
from qmig.qdrant.collection import (
    allows_exact_counts,
    collection_info,
    exact_count,
    existing_collection_info,
    is_custom,
    strict_mode,
)
from qmig.qdrant.cutting import ID_PAGE, Cutter
from qmig.qdrant.ids import got_ids, id_text, raw_id_of, scrolled_ids
from qmig.qdrant.keys import PointKey, shard_key_of, shard_key_selector, shard_key_text
from qmig.qdrant.passthrough import get_request, point_id, raw_id, read_get
from qmig.qdrant.raw_read import RawRead, batch_before, batch_of
from qmig.qdrant.server import Server
from qmig.qdrant.shard_keys import ShardKeyPlacement, shard_keys
from qmig.rpc.connection import RETRY_FOR

#: Ids in one request that asks which of them exist. Larger requests are slower (measured on 1.19: 400,000 ids/s with
#: 1,000 ids, 230,000 with 5,000).
IDS_PER_LOOKUP = 1_000
#: Such requests under way at once.
LOOKUPS = 4
#: Stands for "no limit": larger than any limit that a read asks for.
NO_QUERY_LIMIT = 2**31
SCROLL, GET = "/qdrant.Points/Scroll", "/qdrant.Points/Get"

Answer = TypeVar("Answer")


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
        self._cutter = Cutter(server, collection, self._allowed, self.read_ids)

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
            page = self.read_ids(partition, offset, None, ID_PAGE)
            total += len(page.ids)
            if page.next_key is None:
                return total
            offset = page.next_key

    def boundaries(self, partition: str | None, pieces: int, start: str | None) -> Iterator[Boundary]:
        """Cut a partition into about `pieces` ranges of equal size, at ids above `start`."""
        if pieces >= 2:
            points = self.count(partition, exact=False)
            yield from self._cutter.boundaries(partition, pieces, start, points)

    # Ranges

    def start_read(self, partition: str | None, start: str | None, end: str | None, limit: int) -> RawRead[Batch]:
        """Begin to read at most `limit` points of `[start, end)`, in the order of their ids."""
        request = self._scroll_request(partition, start, limit)
        request.with_payload.enable = True
        request.with_vectors.enable = True
        return self._start_scroll(request, end)

    def start_keys(self, partition: str | None, start: str | None, end: str | None, limit: int) -> RawRead[KeyPage]:
        """Begin to read at most `limit` keys of `[start, end)`, and nothing else."""
        request = self._scroll_request(partition, start, limit)
        request.with_payload.enable = False

        def keys(response: bytes) -> KeyPage:
            batch = batch_before(response, end)
            return KeyPage([self.key_of(point) for point in batch.points], batch.next_key)

        return RawRead(self.server.start(self._scroll, request.SerializeToString()), keys)

    def start_ids(
        self, partition: str | None, start: str | None, end: str | None, limit: int, field: str | None
    ) -> RawRead[Batch]:
        """Begin to read points of `[start, end)` with their id and at most one payload field."""
        request = self._scroll_request(partition, start, limit)
        if field is None:
            request.with_payload.enable = False
        else:
            request.with_payload.include.fields.append(field)
        return self._start_scroll(request, end)

    def read_ids(
        self, partition: str | None, start: str | None, end: str | None, limit: int, others: Sequence[str | None] = ()
    ) -> IdPage:
        """Read at most `limit` ids of `[start, end)`, and those of them that the partitions `others` have too."""
        request = self._scroll_request(partition, start, limit)
        request.with_payload.enable = False
        ids, next_page = scrolled_ids(self.server.call(self._scroll, request.SerializeToString()))
        if end is not None and (next_page is None or PointKey.of(next_page) >= PointKey(end)):
            next_page = None
            del ids[bisect_left(ids, PointKey(end), key=lambda one: PointKey(id_text(one))) :]
        next_key = None if next_page is None else PointKey.of(next_page).text
        repeated = self.present_ids(ids, others) if others else ()
        return IdPage(ids, next_key, repeated=frozenset(repeated))

    # Points by their ids

    def start_points(self, partition: str | None, keys: Sequence[str]) -> RawRead[Batch]:
        """Begin to read the points with these keys; those that do not exist are left out, and no order is kept."""
        return self.start_get(partition, [raw_id_of(key) for key in keys])

    def start_get(self, partition: str | None, ids: Sequence[bytes]) -> RawRead[Batch]:
        """Begin to read the points with these raw ids; those that do not exist are left out, and no order is kept."""
        call = self.server.start(self._get, self._get_request([partition], ids, whole=True))
        return RawRead(call, lambda response: batch_of(read_get(response), None))

    def start_present(self, partition: str | None, points: Sequence[bytes]) -> RawRead[set[bytes]]:
        """Begin to ask which of these points exist, by their ids; the answer holds the raw ids."""
        request = self._get_request([partition], [raw_id(point) for point in points], whole=False)
        return RawRead(self.server.start(self._get, request), lambda response: set(map(raw_id, read_get(response))))

    def present_ids(self, ids: Sequence[bytes], partitions: Sequence[str | None]) -> set[bytes]:
        """Find those of these raw ids that exist in one of the partitions."""
        requests = [
            self._get_request(partitions, ids[first : first + IDS_PER_LOOKUP], whole=False)
            for first in range(0, len(ids), IDS_PER_LOOKUP)
        ]

        def look_up(request: bytes) -> list[bytes]:
            return got_ids(self.server.call(self._get, request, retry_for=RETRY_FOR))

        with ThreadPoolExecutor(LOOKUPS) as threads:
            return {one for found in threads.map(look_up, requests) for one in found}

    def key_of(self, point: bytes) -> str:
        """The id of a serialized `PointStruct` as text."""
        return PointKey.of(point_id(point)).text

    def some_ids(self, limit: int) -> list[str]:
        """Draw up to `limit` ids at random, in one attempt: some servers cannot draw any."""
        return [key.text for key in self._cutter.draw(None, limit, retry_for=0)]

    def payloads(self, ids: Sequence[str]) -> list[bytes]:
        """Read points with their payload alone, as serialized `PointStruct`s."""
        header = api.GetPoints(collection_name=self.collection)
        header.with_payload.enable = True
        request = get_request(header.SerializeToString(), [raw_id_of(one) for one in ids])
        return read_get(self.server.call(self._get, request, retry_for=0))

    # Requests

    def _allowed(self, limit: int) -> int:
        """Reduce the limit of a query or scroll to what the collection's strict mode allows."""
        if self._query_limit is None:
            self._query_limit = strict_mode(collection_info(self.server, self.collection)).max_query_limit
        return min(limit, self._query_limit or NO_QUERY_LIMIT)

    def _get_request(self, partitions: Sequence[str | None], ids: Sequence[bytes], whole: bool) -> bytes:
        """A request for points of some partitions by their raw ids, with payload and vectors if `whole`."""
        header = api.GetPoints(collection_name=self.collection)
        for partition in partitions:
            if (selector := shard_key_selector(partition)) is not None:
                header.shard_key_selector.MergeFrom(selector)
        header.with_payload.enable = header.with_vectors.enable = whole
        return get_request(header.SerializeToString(), ids)

    def _start_scroll(self, request: api.ScrollPoints, end: str | None) -> RawRead[Batch]:
        call = self.server.start(self._scroll, request.SerializeToString())
        return RawRead(call, lambda response: batch_before(response, end))

    def _scroll_request(self, partition: str | None, start: str | None, limit: int) -> api.ScrollPoints:
        return api.ScrollPoints(
            collection_name=self.collection,
            limit=self._allowed(limit),
            offset=None if start is None else PointKey(start).to_message(),
            shard_key_selector=shard_key_selector(partition),
        )
