"""A Qdrant collection as the source: scrolled by id, each shard key of custom sharding by itself."""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from math import ceil
from typing import Any, Generic, TypeVar

from qmig.errors import TerminalError
from qmig.migration import Credentials, Migration
from qmig.qdrant import messages as api
from qmig.qdrant.collection import (
    check_readable,
    close_names,
    collection_info,
    collection_names,
    exact_count,
    is_custom,
)
from qmig.qdrant.keys import PointKey, shard_key_of, shard_key_selector, shard_key_text
from qmig.qdrant.passthrough import get_request, point_id, raw_id, read_get, read_scroll
from qmig.qdrant.server import Server, server_version
from qmig.qdrant.shard_keys import ShardKeyPlacement, shard_keys
from qmig.rpc.connection import Call
from qmig.sources.base import Batch, Boundary, KeyPage, RangeCount

# Sampled ids for each chunk: its size then varies by 1/sqrt(50), about a seventh.
SAMPLES_A_CHUNK = 50
MAX_SAMPLES = 100_000
# Draws of a sample where strict mode allows few ids in one.
MAX_DRAWS = 200
# Larger than any limit that is asked for.
NO_LIMIT = 2**31
# Ids in one page of an id-only scroll.
ID_PAGE = 20_000
SCROLL, GET = "/qdrant.Points/Scroll", "/qdrant.Points/Get"

Answer = TypeVar("Answer")


def open_source(migration: Migration, credentials: Credentials) -> "QdrantSource":
    """Connect to the migration's source."""
    server = Server(
        migration.source.endpoint,
        "source",
        credentials.source_api_key,
        migration.options.skip_tls_verification,
    )
    return QdrantSource(server, migration.source.collection)


class QdrantSource:
    """Reads `collection` of `server`."""

    def __init__(self, server: Server, collection: str) -> None:
        self.server = server
        self.collection = collection
        self._scroll = server.raw_method(SCROLL)
        self._get = server.raw_method(GET)
        self._most: int | None = None

    def identify(self) -> tuple[str, str]:
        return "Qdrant", server_version(self.server)

    def info(self) -> api.CollectionInfo:
        info = collection_info(self.server, self.collection)
        if info is None:
            close = close_names(self.collection, collection_names(self.server))
            raise TerminalError(
                f"source {self.server.endpoint.url} has no collection {self.collection!r}{close}; "
                "check --source-collection"
            )
        strict = info.config.strict_mode_config
        if strict.enabled and strict.HasField("search_allow_exact") and not strict.search_allow_exact:
            raise TerminalError(
                f"the source collection {self.collection!r} is in strict mode with search_allow_exact off: "
                "its points cannot be counted at the end; switch that on for the time of the migration"
            )
        check_readable(info, "source", self.collection)
        return info

    def notices(self) -> list[str]:
        return []

    def describe_mapping(self) -> list[str]:
        return []

    def freeze_settings(self, recorded: Mapping[str, Any] | None) -> dict[str, Any]:  # noqa: ARG002
        return {}

    def partitions(self) -> Sequence[str | None]:
        """Every shard key, or [None] without custom sharding.

        A scroll without a shard key drops ids that repeat across keys, so each key is read by itself.
        """
        info = collection_info(self.server, self.collection)
        if info is None or not is_custom(info):
            return [None]
        return [shard_key_text(placement.shard_key) for placement in self.shard_keys()]

    def shard_keys(self) -> list[ShardKeyPlacement]:
        return shard_keys(self.server, self.collection)

    def count_duplicate_ids(self) -> int:
        partitions = self.partitions()
        if len(partitions) < 2:
            return 0
        return sum(self.count(partition, exact=True) for partition in partitions) - self._distinct_count()

    def count(self, partition: str | None, exact: bool) -> int:
        if exact:
            return exact_count(self.server, self.collection, shard_key_of(partition))
        request = api.CountPoints(
            collection_name=self.collection, exact=False, shard_key_selector=shard_key_selector(partition)
        )
        return self.server.call(self.server.points.Count, request).result.count

    def boundaries(self, partition: str | None, pieces: int, start: str | None) -> Iterator[Boundary]:
        if pieces < 2:
            return
        keys = self._sample(partition, min(MAX_SAMPLES, pieces * SAMPLES_A_CHUNK))
        cuts = {keys[len(keys) * piece // pieces] for piece in range(1, pieces)} if keys else set()
        points = self.count(partition, exact=False) // (len(cuts) + 1)
        for key in sorted(cuts):
            if start is None or key > PointKey(start):
                yield Boundary(key.text, points)

    def _sample(self, partition: str | None, wanted: int) -> list[PointKey]:
        """About so many ids drawn at random, sorted; several draws where strict mode limits one of them."""
        keys: list[PointKey] = []
        limit = self._allowed(wanted)
        for _ in range(min(MAX_DRAWS, ceil(wanted / limit))):
            request = api.QueryPoints(
                collection_name=self.collection,
                query=api.Query(sample=api.Random),
                limit=limit,
                with_payload=api.WithPayloadSelector(enable=False),
                with_vectors=api.WithVectorsSelector(enable=False),
                shard_key_selector=shard_key_selector(partition),
            )
            answer = self.server.call(self.server.points.Query, request).result
            keys += [PointKey.of(point.id) for point in answer]
        return sorted(keys)

    def _allowed(self, limit: int) -> int:
        """The limit of a query or scroll, cut to what the collection's strict mode lets through."""
        if self._most is None:
            info = collection_info(self.server, self.collection)
            strict = info.config.strict_mode_config if info is not None else api.StrictModeConfig()
            self._most = strict.max_query_limit if strict.enabled and strict.max_query_limit else NO_LIMIT
        return min(limit, self._most)

    def start_read(self, partition: str | None, start: str | None, end: str | None, limit: int) -> "RawRead[Batch]":
        request = self._scroll_request(partition, start, limit)
        request.with_payload.enable = True
        request.with_vectors.enable = True
        return self._start_scroll(request, end)

    def start_keys(self, partition: str | None, start: str | None, end: str | None, limit: int) -> "RawRead[KeyPage]":
        request = self._scroll_request(partition, start, limit)
        request.with_payload.enable = False

        def keys(response: bytes) -> KeyPage:
            batch = cut_off(response, end)
            return KeyPage([self.key_of(point) for point in batch.points], batch.next_key)

        return RawRead(self.server.start(self._scroll, request.SerializeToString()), keys)

    def start_ids(
        self, partition: str | None, start: str | None, end: str | None, limit: int, field: str | None
    ) -> "RawRead[Batch]":
        """Begin to read points of `[start, end)` with their id, and with one payload field if there is one."""
        request = self._scroll_request(partition, start, limit)
        if field is None:
            request.with_payload.enable = False
        else:
            request.with_payload.include.fields.append(field)
        return self._start_scroll(request, end)

    def start_points(self, partition: str | None, keys: Sequence[str]) -> "RawRead[Batch]":
        return self.start_get(partition, [PointKey(key).to_message().SerializeToString() for key in keys])

    def start_get(self, partition: str | None, ids: Sequence[bytes]) -> "RawRead[Batch]":
        """Begin to read the points with these raw ids, as far as there are any; in no order."""
        return RawRead(self._start_get(partition, ids, True), lambda response: Batch(read_get(response), None))

    @property
    def key_field(self) -> None:
        return None

    def start_present(self, partition: str | None, points: Sequence[bytes]) -> "RawRead[set[bytes]]":
        call = self._start_get(partition, [raw_id(point) for point in points], False)
        return RawRead(call, lambda response: set(map(raw_id, read_get(response))))

    def key_of(self, point: bytes) -> str:
        return PointKey.of(point_id(point)).text

    def point_ids(self, partition: str | None, start: str | None, end: str | None) -> set[str]:
        found: set[str] = set()
        while True:
            request = self._scroll_request(partition, start, ID_PAGE)
            request.with_payload.enable = False
            page = self.server.call(self._scroll, request.SerializeToString())
            batch = cut_off(page, end)
            found.update(self.key_of(point) for point in batch.points)
            if batch.next_key is None:
                return found
            start = batch.next_key

    def count_ranges(
        self,
        partition: str | None,  # noqa: ARG002
        ranges: Sequence[tuple[str | None, str | None]],  # noqa: ARG002
        read: Sequence[int],  # noqa: ARG002
    ) -> list[RangeCount] | None:
        # There is no filter on ranges of ids: each would have to be scrolled.
        return None

    def _distinct_count(self) -> int:
        """Ids in the whole collection, one that repeats across shard keys counted once.

        A scroll without a shard key merges the shards and drops repeats (measured on 1.18).
        """
        total, offset = 0, None
        while True:
            request = self._scroll_request(None, offset, ID_PAGE)
            request.with_payload.enable = False
            points, following = read_scroll(self.server.call(self._scroll, request.SerializeToString()))
            total += len(points)
            if following is None:
                return total
            offset = PointKey.of(following).text

    def close(self) -> None:
        self.server.close()

    def _start_get(self, partition: str | None, ids: Sequence[bytes], whole: bool) -> Call[bytes]:
        header = api.GetPoints(collection_name=self.collection, shard_key_selector=shard_key_selector(partition))
        header.with_payload.enable = header.with_vectors.enable = whole
        return self.server.start(self._get, get_request(header.SerializeToString(), ids))

    def _start_scroll(self, request: api.ScrollPoints, end: str | None) -> "RawRead[Batch]":
        call = self.server.start(self._scroll, request.SerializeToString())
        return RawRead(call, lambda response: cut_off(response, end))

    def _scroll_request(self, partition: str | None, start: str | None, limit: int) -> api.ScrollPoints:
        return api.ScrollPoints(
            collection_name=self.collection,
            limit=self._allowed(limit),
            offset=None if start is None else PointKey(start).to_message(),
            shard_key_selector=shard_key_selector(partition),
        )


class RawRead(Generic[Answer]):
    """A call under way, and what is made of the bytes of its answer."""

    def __init__(self, call: Call[bytes], convert: Callable[[bytes], Answer]) -> None:
        self._call = call
        self._convert = convert

    def wait(self, seconds: float) -> bool:
        return self._call.wait(seconds)

    def result(self) -> Answer:
        return self._convert(self._call.result())


def cut_off(response: bytes, end: str | None) -> Batch:
    """The points of a scroll response below `end`: a scroll knows where to begin, not where to stop."""
    points, following = read_scroll(response)
    next_key = None if following is None else PointKey.of(following)
    if end is not None:
        stop = PointKey(end)
        if next_key is None or next_key >= stop:
            next_key = None
            del points[bisect_left(points, stop, key=lambda point: PointKey.of(point_id(point))) :]
    return Batch(points, None if next_key is None else next_key.text)
