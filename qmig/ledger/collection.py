"""The ledger's collection in the target: create, read and write records, each a point without vectors.

A write is durable when the call returns. `qmig.ledger.ledger` knows what the records mean.
"""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, Protocol, TypeVar

import msgspec

from qmig.errors import TerminalError, TransientError, UsageError
from qmig.formatting import one_line
from qmig.ledger.fields import check_numbers
from qmig.ledger.records import RecordKind
from qmig.qdrant import messages as api
from qmig.qdrant.aliases import own_name
from qmig.qdrant.payload import from_payload, to_payload
from qmig.qdrant.server import Server, completed, server_version
from qmig.qdrant.versions import parse_version

#: Records in one request.
PAGE = 1000
#: The fields that filters name, which therefore need an index.
INDEXES = {
    "record": api.FieldTypeKeyword,
    "migration": api.FieldTypeKeyword,
    "owner": api.FieldTypeKeyword,
    "state": api.FieldTypeKeyword,
    "run": api.FieldTypeKeyword,
    "chunk": api.FieldTypeInteger,
    "claims": api.FieldTypeInteger,
    "index": api.FieldTypeInteger,
    "planner": api.FieldTypeInteger,
}
#: Version of Qdrant from which an upsert can be told which points it may replace.
CONDITIONAL_UPSERT = (1, 17)
#: On a cluster every change of a record goes through its shard's leader, so that two claims have an order.
STRONG = api.WriteOrdering(type=api.Strong)
#: A point of a collection without vectors must say that it has none.
NO_VECTORS = api.Vectors(vectors=api.NamedVectors())

Parsed = TypeVar("Parsed")


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

    def create(self) -> None:
        """Create the ledger if it does not exist, and the indexes that its filters use."""
        if not self.check():
            request = api.CreateCollection(
                collection_name=self.name, vectors_config=api.VectorsConfig(params_map=api.VectorParamsMap())
            )
            try:
                self.server.call(self.server.collections.Create, request)
            except TerminalError:
                # Another migration may have created it at the same moment.
                if not self.check():
                    raise
        for key, kind in INDEXES.items():
            index = api.CreateFieldIndexCollection(
                collection_name=self.name, wait=True, field_name=key, field_type=kind
            )
            self.server.call(self.server.points.CreateFieldIndex, index)

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
                    limit=PAGE if limit is None else min(PAGE, limit - len(found)),
                    with_payload=api.WithPayloadSelector(enable=True),
                ),
            )
            found += page.result
            if not page.HasField("next_page_offset"):
                break
            offset = page.next_page_offset
        return found

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
        """Read a record from its point; TerminalError with the field's path where it is malformed."""
        try:
            return msgspec.convert(from_payload(point.payload), kind)
        except (msgspec.ValidationError, UsageError) as error:
            raise TerminalError(
                f"the record {point.id.uuid} in the ledger {self.name!r} at {self.server.endpoint.url} is malformed: "
                f"{one_line(error)}; use the newer qmig that may have written it, or correct it; once it is deleted, "
                "its migration begins again"
            ) from None

    # Writing

    def save(
        self,
        kind: RecordKind,
        records: Sequence[Record],
        replaceable: api.Filter | None = None,
        retry_for: float | None = None,
    ) -> None:
        """Write records, and replace those that exist: all, or those that match `replaceable`."""
        for start in range(0, len(records), PAGE):
            points = [
                api.PointStruct(
                    id=api.PointId(uuid=record.id),
                    payload=_payload({"record": kind.value, **msgspec.to_builtins(record)}),
                    vectors=NO_VECTORS,
                )
                for record in records[start : start + PAGE]
            ]
            if replaceable is not None and not self._has_conditional_upserts:
                points = self._without_kept(points, replaceable)
                if not points:
                    continue
            request = api.UpsertPoints(
                collection_name=self.name, wait=True, points=points, ordering=STRONG, update_filter=replaceable
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
        request = api.DeletePoints(collection_name=self.name, wait=True, points=records, ordering=STRONG)
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
            ordering=STRONG,
        )

    def _update(self, method: Callable[..., Any], request: Any, retry_for: float | None = None) -> None:
        """Send an update, and retry it until it is `Completed`: one that was only accepted may still be lost."""

        def attempt(request: Any, **settings: Any) -> None:
            answer = method(request, **settings)
            if not completed(answer):
                status = api.UpdateStatus.Name(answer.result.status)
                raise TransientError(f"target {self.server.endpoint.url}: the ledger's update ended as {status}")

        self.server.call(attempt, request, retry_for=retry_for)


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
