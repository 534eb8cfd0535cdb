"""Exact counts, for the verification of a copy."""

import difflib
from collections.abc import Iterable, Sequence
from itertools import islice

from qmig.errors import NotFoundError, TerminalError
from qmig.qdrant import messages as api
from qmig.qdrant.keys import PointKey, shard_key_selector
from qmig.qdrant.server import Server
from qmig.rpc.connection import COUNT_TIMEOUT


def exact_count(server: Server, collection: str, shard_key: api.ShardKey | None) -> int:
    """The number of points in a collection, or under one of its shard keys.

    Without a shard key an id that lives under several keys is counted several times. Points that
    prevent_unoptimized hides are not counted. TerminalError if strict mode allows no exact count.
    """
    request = api.CountPoints(collection_name=collection, exact=True, timeout=COUNT_TIMEOUT)
    if shard_key is not None:
        request.shard_key_selector.shard_keys.append(shard_key)
    info_request = api.GetCollectionInfoRequest(collection_name=collection)
    info: api.CollectionInfo = server.call(server.collections.Get, info_request).result
    strict = info.config.strict_mode_config
    if strict.enabled:
        if strict.HasField("search_allow_exact") and not strict.search_allow_exact:
            raise TerminalError(
                f"{server.role} {server.endpoint.url}: strict mode of {collection!r} has "
                "search_allow_exact=false, so its points cannot be counted; set it to true for the migration"
            )
        if strict.HasField("max_timeout"):
            # A longer time-out is refused, not shortened.
            request.timeout = min(COUNT_TIMEOUT, strict.max_timeout)
    count: int = server.call(server.points.Count, request, timeout=COUNT_TIMEOUT).result.count
    return count


# Ids in one look-up.
IDS_AT_ONCE = 5_000


def collection_info(server: Server, name: str) -> api.CollectionInfo | None:
    """A collection's settings, or None where there is no such collection."""
    request = api.GetCollectionInfoRequest(collection_name=name)
    try:
        info: api.CollectionInfo = server.call(server.collections.Get, request).result
    except NotFoundError:
        return None
    return info


def is_custom(info: api.CollectionInfo) -> bool:
    """Whether the collection shards by key."""
    return info.config.params.sharding_method == api.ShardingMethod.Custom


def check_readable(info: api.CollectionInfo, role: str, name: str) -> None:
    """TerminalError where points wait for their index: scroll and count hide them alike (measured on 1.18.3)."""
    if deferred := info.update_queue.deferred_points:
        raise TerminalError(
            f"{deferred:,} points of the {role} collection {name!r} cannot be read yet: its prevent_unoptimized "
            "hides them until they are indexed; wait until its optimization is done"
        )


def collection_names(server: Server) -> list[str]:
    """All collections of a server."""
    request = api.ListCollectionsRequest()
    return [collection.name for collection in server.call(server.collections.List, request).collections]


def present_ids(server: Server, name: str, ids: Iterable[str], partition: str | None) -> set[str]:
    """Those of `ids` that a collection has, or one of its shard keys, given as text."""
    found: set[str] = set()
    wanted = iter(ids)
    while page := list(islice(wanted, IDS_AT_ONCE)):
        request = api.GetPoints(
            collection_name=name,
            ids=[PointKey(one).to_message() for one in page],
            with_payload=api.WithPayloadSelector(enable=False),
            with_vectors=api.WithVectorsSelector(enable=False),
            shard_key_selector=shard_key_selector(partition),
        )
        found.update(PointKey.of(point.id).text for point in server.call(server.points.Get, request).result)
    return found


def close_names(name: str, names: Sequence[str]) -> str:
    """`names` that come close to `name`, for an error message; nothing where none does."""
    close = difflib.get_close_matches(name, names, n=3)
    return f" (close: {', '.join(map(repr, close))})" if close else ""
