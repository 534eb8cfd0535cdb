"""The reading half of the Points service."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Iterable
from typing import Any

import qdrant_edge as edge
from google.protobuf.message import Message

from qmig.embedded.qdrant.calls import serves
from qmig.embedded.qdrant.filters import optional_filter
from qmig.embedded.qdrant.refusals import from_engine, invalid, require_served, unserved
from qmig.embedded.qdrant.settings import smaller_is_nearer
from qmig.embedded.qdrant.storage import Storage
from qmig.embedded.qdrant.values import EngineIds, Key, fill_point_id, from_point_id, scroll_order, to_shard_key
from qmig.embedded.qdrant.vectors import fill_vectors, query_vector
from qmig.embedded.qdrant.writing import shard_selector
from qmig.qdrant import messages as api
from qmig.qdrant.payload import fill_value

DEFAULT_LIMIT = 10


class Reading:
    """Reads from the selected shards of a collection, and merges their answers as a real server does."""

    storage: Storage

    @serves("collection_name", "filter", "offset", "limit", "with_payload", "with_vectors", "shard_key_selector")
    def Scroll(self, request: Any) -> Message:
        limit = positive_limit(request)
        page = edge.ScrollRequest(
            offset=from_point_id(request.offset) if request.HasField("offset") else None,
            limit=limit + 1,
            filter=optional_filter(request),
            with_payload=payload_selector(request, default=True),
            with_vector=vectors_selector(request),
        )
        pages = self.read(request, lambda shard: shard.scroll(page)[0])
        records = merged_by_id(pages)
        response = api.ScrollResponse()
        if len(records) > limit:
            fill_point_id(response.next_page_offset, records[limit][1].id)
        for key, record in records[:limit]:
            fill_record(response.result.add(), record, key)
        return response

    @serves("collection_name", "ids", "with_payload", "with_vectors", "shard_key_selector")
    def Get(self, request: Any) -> Message:
        ids: EngineIds = [from_point_id(point_id) for point_id in request.ids]
        payload = payload_selector(request, default=False)
        vectors = vectors_selector(request)
        found: dict[Any, tuple[Key, edge.Record]] = {}
        for key, records in self.read(request, lambda shard: shard.retrieve(ids, payload, vectors)):
            for record in records:
                found.setdefault(record.id, (key, record))
        response = api.GetResponse()
        for point_id in dict.fromkeys(ids):
            if point_id in found:
                key, record = found[point_id]
                fill_record(response.result.add(), record, key)
        return response

    @serves("collection_name", "filter", "exact", "shard_key_selector")
    def Count(self, request: Any) -> Message:
        exact = request.exact if request.HasField("exact") else True
        count = edge.CountRequest(exact=exact, filter=optional_filter(request))
        total = sum(part for _, part in self.read(request, lambda shard: shard.count(count)))
        return api.CountResponse(result=api.CountResult(count=total))

    @serves(
        "collection_name",
        "query",
        "using",
        "filter",
        "params",
        "score_threshold",
        "limit",
        "offset",
        "with_vectors",
        "with_payload",
        "shard_key_selector",
    )
    def Query(self, request: Any) -> Message:
        limit = positive_limit(request)
        query = edge.QueryRequest(
            limit=limit + request.offset,
            query=scoring_query(request),
            with_vector=vectors_selector(request),
            with_payload=payload_selector(request, default=False),
            filter=optional_filter(request),
            score_threshold=request.score_threshold if request.HasField("score_threshold") else None,
            params=search_params(request),
        )
        answers = self.read(request, lambda shard: shard.query(query))
        found = [(key, point) for key, points in answers for point in points]
        if request.query.WhichOneof("variant") == "sample":
            random.shuffle(found)
        elif len(answers) > 1:
            params = self.storage.find(request.collection_name).info.config.params
            found.sort(key=lambda hit: hit[1].score, reverse=not smaller_is_nearer(params, request.using))
        response = api.QueryResponse()
        for key, point in distinct(found)[request.offset : request.offset + limit]:
            hit = response.result.add(score=point.score, version=point.version)
            fill_record(hit, point, key)
        return response

    @serves("collection_name", "key", "filter", "limit", "exact", "shard_key_selector")
    def Facet(self, request: Any) -> Message:
        limit = positive_limit(request)
        facet = edge.FacetRequest(request.key, limit=2**32, exact=True, filter=optional_filter(request))
        counts: dict[tuple[type, Any], int] = {}
        for _, hits in self.read(request, lambda shard: shard.facet(facet)):
            for hit in hits:
                value = (type(hit.value), hit.value)
                counts[value] = counts.get(value, 0) + hit.count
        response = api.FacetResponse()
        ordered = sorted(counts.items(), key=lambda item: (-item[1], str(item[0][1])))
        for (kind, value), count in ordered[:limit]:
            field = {str: "string_value", bool: "bool_value", int: "integer_value"}[kind]
            response.hits.add(value=api.FacetValue(**{field: value}), count=count)
        return response

    def read(self, request: Any, ask: Callable[[edge.EdgeShard], Any]) -> list[tuple[Key, Any]]:
        """The answers of all shards that a request covers."""
        shards = self.storage.find(request.collection_name).read_shards(shard_selector(request))
        try:
            return [(key, ask(shard)) for key, shard in shards]
        except Exception as error:
            raise from_engine(error) from error


def positive_limit(request: Any) -> int:
    if not request.HasField("limit"):
        return DEFAULT_LIMIT
    if request.limit == 0:
        raise invalid("Validation error in body: [limit: value 0 invalid, must be 1 or larger]")
    return int(request.limit)


def payload_selector(request: Any, default: bool) -> Any:
    if not request.HasField("with_payload"):
        return default
    kind = request.with_payload.WhichOneof("selector_options")
    if kind == "include":
        return edge.PayloadSelector.Include(list(request.with_payload.include.fields))
    if kind == "exclude":
        return edge.PayloadSelector.Exclude(list(request.with_payload.exclude.fields))
    if kind is None:
        raise invalid("No PayloadSelector")
    return bool(request.with_payload.enable)


def vectors_selector(request: Any) -> Any:
    if request.with_vectors.WhichOneof("selector_options") == "include":
        return list(request.with_vectors.include.names)
    return bool(request.with_vectors.enable)


def scoring_query(request: Any) -> Any:
    if not request.HasField("query"):
        raise unserved("a Query without `query`")
    kind = request.query.WhichOneof("variant")
    if kind == "sample":
        return edge.Sample.Random
    if kind == "nearest":
        using = request.using if request.HasField("using") else None
        return edge.Query.Nearest(query_vector(request.query.nearest), using)
    raise unserved(f"`{kind}` in Query")


def search_params(request: Any) -> edge.SearchParams | None:
    if not request.HasField("params"):
        return None
    require_served(request.params, "Query", "hnsw_ef", "exact")
    return edge.SearchParams(hnsw_ef=request.params.hnsw_ef or None, exact=request.params.exact)


def merged_by_id(pages: list[tuple[Key, list[edge.Record]]]) -> list[tuple[Key, edge.Record]]:
    """Merge the records of several shards in the order of their ids; a repeated id is kept once."""
    if len(pages) == 1:
        key, records = pages[0]
        return [(key, record) for record in records]
    keyed = [[(key, record) for record in records] for key, records in pages]
    return distinct(heapq.merge(*keyed, key=lambda found: scroll_order(found[1].id)))


def distinct(found: Iterable[tuple[Key, Any]]) -> list[tuple[Key, Any]]:
    seen: set[Any] = set()
    kept = []
    for key, point in found:
        if point.id not in seen:
            seen.add(point.id)
            kept.append((key, point))
    return kept


def fill_record(message: Any, record: Any, key: Key) -> None:
    """Write a record of the engine into a RetrievedPoint or a ScoredPoint."""
    fill_point_id(message.id, record.id)
    for name, value in (record.payload or {}).items():
        fill_value(message.payload[name], value)
    vectors = record.vector
    if vectors is not None:
        fill_vectors(message.vectors, vectors)
    if key is not None:
        message.shard_key.CopyFrom(to_shard_key(key))
