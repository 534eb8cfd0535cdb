"""Look up collections of a server: settings, names, exact counts."""

import difflib
from collections.abc import Sequence

from qmig.errors import NotFoundError, TerminalError
from qmig.qdrant import messages as api
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


def close_names(name: str, names: Sequence[str]) -> str:
    """`names` that come close to `name`, for an error message; nothing where none does."""
    close = difflib.get_close_matches(name, names, n=3)
    return f" (close: {', '.join(map(repr, close))})" if close else ""
