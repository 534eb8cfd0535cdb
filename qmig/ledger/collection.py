"""The ledger's collection in the target: create, read and write records, each a point without vectors.

A write is durable when the call returns. `qmig.ledger.ledger` knows what the records mean.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import Any, Protocol, TypeVar

import msgspec

from qmig.errors import MalformedRecordError, TerminalError, TransientError, UsageError
from qmig.formatting import one_line
from qmig.ledger.fields import check_numbers
from qmig.ledger.records import RecordKind
from qmig.ledger.settings import create_request, max_records, prepare
from qmig.qdrant import messages as api
from qmig.qdrant.aliases import own_name
from qmig.qdrant.collection import allows_exact_counts, existing_collection_info
from qmig.qdrant.keys import PointKey
from qmig.qdrant.payload import from_payload, to_payload
from qmig.qdrant.server import Server, completed, server_version
from qmig.qdrant.versions import parse_version

#: Records in one request; fewer where a strict mode that cannot be lifted says so.
PAGE = 1000
#: Version of Qdrant from which an upsert can be told which points it may replace.
CONDITIONAL_UPSERT = (1, 17)
#: Every change of a record goes through one leader, the highest peer that has a live replica, so that two claims have
#: an order. `Strong` would name the highest peer even when it is dead, and stop every write until it is back.
#:
#: `Completed` says that every live replica has applied the write, and that a replica which has not is marked dead and
#: no longer read (sources of Qdrant 1.19, `replica_set/update.rs`). So a read sees the writes before it, and asks for
#: no consistency: with one of two replicas dead a quorum fails, and it leaves out a record that is being written.
#:
#: While a leader is replaced, for about a second, a replica may answer with an earlier state, and two leaders may
#: each grant a claim. Both are harmless to chunks: an owner that reads another owner gives the chunk up, and two
#: workers on one chunk write the same points, each with the offset of its own points. Two planners would leave a gap,
#: which the checks at the end find.
MEDIUM = api.WriteOrdering(type=api.Medium)
#: A point of a collection without vectors must say that it has none.
NO_VECTORS = api.Vectors(vectors=api.NamedVectors())

Parsed = TypeVar("Parsed")
#: Records that cannot be read: why, by their ids.
Malformed = dict[str, str]


class Record(Protocol):
    """A dataclass with the fields of one record."""

    @property
    def id(self) -> str:
        """Id of the record's point."""


class LedgerCollection:
    """The ledger's collection `name` on the target server."""

    def __init__(self, server: Server, name: str) -> None:
        self.server = server
        self.name = name

    def exists(self) -> bool:
        request = api.CollectionExistsRequest(collection_name=self.name)
        return self.server.call(self.server.collections.CollectionExists, request).result.exists

    def check(self) -> bool:
        """Whether the ledger exists; TerminalError where an alias or a collection of vectors has its name."""
        if not self.exists():
            return False
        other = own_name(self.server, self.name)
        if other != self.name:
            raise TerminalError(
                f"the ledger {self.name!r} at {self.server.endpoint.url} is an alias of the collection {other!r}; "
                "give another --migration-offsets-collection-name"
            )
        request = api.GetCollectionInfoRequest(collection_name=self.name)
        params = self.server.call(self.server.collections.Get, request).result.config.params
        vectors = params.vectors_config
        if vectors.HasField("params") or vectors.params_map.map or params.sparse_vectors_config.map:
            raise TerminalError(
                f"{self.name!r} at {self.server.endpoint.url} is a collection of vectors, not a ledger; "
                "give another --migration-offsets-collection-name"
            )
        return True

    def create(self, replicas: int | None = None) -> None:
        """Create the ledger unless it exists, with `replicas` copies of each record; prepare it for its calls."""
        if not self.check():
            try:
                self.server.call(self.server.collections.Create, create_request(self.name, replicas))
            except TerminalError:
                # Another migration may have created it at the same moment.
                if not self.check():
                    raise
        prepare(self.server, self.name)

    @cached_property
    def _page(self) -> int:
        """Records in one request to read or write."""
        return max_records(self._info, PAGE)

    @cached_property
    def _info(self) -> api.CollectionInfo:
        """The ledger's settings when they were first needed: what a strict mode allows."""
        return existing_collection_info(self.server, self.name)

    # Reading

    def scroll(self, wanted: api.Filter, limit: int | None = None) -> list[api.RetrievedPoint]:
        """All points that match the filter, or any `limit` of them."""
        found: list[api.RetrievedPoint] = []
        offset: api.PointId | None = None
        while limit is None or len(found) < limit:
            page = self.server.call(
                self.server.points.Scroll,
                api.ScrollPoints(
                    collection_name=self.name,
                    filter=wanted,
                    offset=offset,
                    limit=self._page if limit is None else min(self._page, limit - len(found)),
                    with_payload=api.WithPayloadSelector(enable=True),
                ),
            )
            found += page.result
            if not page.HasField("next_page_offset"):
                break
            offset = page.next_page_offset
        return found

    def count(self, wanted: api.Filter, retry_for: float | None = None) -> int:
        """Number of points that match the filter; an estimate where a strict mode forbids more."""
        request = api.CountPoints(collection_name=self.name, filter=wanted, exact=allows_exact_counts(self._info))
        return self.server.call(self.server.points.Count, request, retry_for=retry_for).result.count

    def _get(self, ids: Sequence[str], retry_for: float | None = None) -> Sequence[api.RetrievedPoint]:
        """The points with these ids that exist."""
        return self.server.call(self.server.points.Get, self._get_request(ids), retry_for=retry_for).result

    def _get_request(self, ids: Sequence[str]) -> api.GetPoints:
        return api.GetPoints(
            collection_name=self.name,
            ids=[api.PointId(uuid=point) for point in ids],
            with_payload=api.WithPayloadSelector(enable=True),
        )

    def parse(self, kind: type[Parsed], point: api.RetrievedPoint) -> Parsed:
        """Read a record from its point; MalformedRecordError with the field's path where it is malformed."""
        try:
            return msgspec.convert(from_payload(point.payload), kind)
        except (msgspec.ValidationError, UsageError) as error:
            raise MalformedRecordError(
                f"the record {record_id(point)} in the ledger {self.name!r} at {self.server.endpoint.url} is "
                f"malformed: {one_line(error)}; use the newer qmig that may have written it, or correct it; once it "
                "is deleted, its migration begins again"
            ) from None

    def parse_all(
        self,
        parse: Callable[[api.RetrievedPoint], Parsed],
        points: Iterable[api.RetrievedPoint],
        malformed: Malformed | None,
    ) -> list[Parsed]:
        """Read a record from each point. Those that cannot be read go to `malformed`; without it, one raises."""
        found = []
        for point in points:
            try:
                found.append(parse(point))
            except MalformedRecordError as error:
                if malformed is None:
                    raise
                malformed[record_id(point)] = str(error)
        return found

    # Writing

    def save(
        self,
        kind: RecordKind,
        records: Sequence[Record],
        replaceable: api.Filter | None = None,
        retry_for: float | None = None,
    ) -> None:
        """Write records, and replace those that exist: all, or those that match `replaceable`."""
        points = [
            api.PointStruct(
                id=api.PointId(uuid=record.id),
                payload=_payload({"record": kind.value, **msgspec.to_builtins(record)}),
                vectors=NO_VECTORS,
            )
            for record in records
        ]
        for start in range(0, len(points), self._page):
            page = points[start : start + self._page]
            if replaceable is not None and not self._has_conditional_upserts:
                page = self._without_kept(page, replaceable)
                if not page:
                    continue
            request = api.UpsertPoints(
                collection_name=self.name, wait=True, points=page, ordering=MEDIUM, update_filter=replaceable
            )
            self._update(self.server.points.Upsert, request, retry_for)

    @cached_property
    def _has_conditional_upserts(self) -> bool:
        version = parse_version(server_version(self.server))
        return version is None or version >= CONDITIONAL_UPSERT

    def _without_kept(self, points: Sequence[api.PointStruct], replaceable: api.Filter) -> list[api.PointStruct]:
        """The points that do not exist, or match `replaceable`. An older Qdrant ignores an upsert's condition.

        A write between this look and the upsert is overwritten.
        """
        has_id = api.Condition(has_id=api.HasIdCondition(has_id=[point.id for point in points]))
        matching = api.Filter(must=[has_id, api.Condition(filter=replaceable)])
        existing = {point.id.uuid for point in self._get([point.id.uuid for point in points])}
        kept = existing - {point.id.uuid for point in self.scroll(matching)}
        return [point for point in points if point.id.uuid not in kept]

    def delete(self, records: api.PointsSelector) -> None:
        """Delete records for good."""
        request = api.DeletePoints(collection_name=self.name, wait=True, points=records, ordering=MEDIUM)
        self._update(self.server.points.Delete, request)

    def _set(self, selector: api.PointsSelector, changes: dict[str, Any], retry_for: float | None = None) -> None:
        """Change some fields of the selected records."""
        self._update(self.server.points.SetPayload, self._set_request(selector, changes), retry_for)

    def _set_request(self, selector: api.PointsSelector, changes: dict[str, Any]) -> api.SetPayloadPoints:
        return api.SetPayloadPoints(
            collection_name=self.name,
            wait=True,
            payload=_payload(msgspec.to_builtins(changes)),
            points_selector=selector,
            ordering=MEDIUM,
        )

    def _update(self, method: Callable[..., Any], request: Any, retry_for: float | None = None) -> None:
        """Send an update, and retry it until it is `Completed`: one that was only accepted may still be lost."""

        def attempt(request: Any, **settings: Any) -> None:
            answer = method(request, **settings)
            if not completed(answer):
                status = api.UpdateStatus.Name(answer.result.status)
                raise TransientError(f"target {self.server.endpoint.url}: the ledger's update ended as {status}")

        self.server.call(attempt, request, retry_for=retry_for)


def record_id(point: api.RetrievedPoint) -> str:
    """The id of a record's point; a point that is no record may have a number."""
    return PointKey.of(point.id).text


def _payload(fields: dict[str, Any]) -> dict[str, api.Value]:
    """Convert fields to a payload; UsageError where they could not be read again."""
    check_numbers(fields)
    return to_payload(fields)


def is_value(key: str, value: str | int) -> api.Condition:
    """The condition that a record's field has this value."""
    match = api.Match(integer=value) if isinstance(value, int) else api.Match(keyword=value)
    return api.Condition(field=api.FieldCondition(key=key, match=match))


def is_below(key: str, value: int) -> api.Condition:
    """The condition that a record's field is smaller than this value."""
    return api.Condition(field=api.FieldCondition(key=key, range=api.Range(lt=value)))
