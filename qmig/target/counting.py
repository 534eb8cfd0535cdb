"""Exact counts, for the verification of a copy."""

from qmig.connections import COUNT_TIMEOUT, Server
from qmig.errors import TerminalError
from qmig.wire import api


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
