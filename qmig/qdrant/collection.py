"""Look up the collections of a server: names, settings, exact counts."""

import difflib
from collections.abc import Sequence

from qmig.errors import NotFoundError, TerminalError
from qmig.qdrant import messages as api
from qmig.qdrant.server import Server
from qmig.rpc.connection import COUNT_TIMEOUT


def collection_names(server: Server) -> list[str]:
    """List all collections of a server."""
    request = api.ListCollectionsRequest()
    return [collection.name for collection in server.call(server.collections.List, request).collections]


def close_names(name: str, names: Sequence[str]) -> str:
    """Those of `names` that are spelled like `name`, for an error message; empty where there is none."""
    close = difflib.get_close_matches(name, names, n=3)
    return f" (close: {', '.join(map(repr, close))})" if close else ""


def collection_info(server: Server, name: str) -> api.CollectionInfo | None:
    """Get a collection's settings; None where there is no such collection."""
    try:
        return existing_collection_info(server, name)
    except NotFoundError:
        return None


def existing_collection_info(server: Server, name: str) -> api.CollectionInfo:
    """Get a collection's settings; NotFoundError where there is no such collection."""
    request = api.GetCollectionInfoRequest(collection_name=name)
    info: api.CollectionInfo = server.call(server.collections.Get, request).result
    return info


def cluster_info(server: Server, name: str, retry_for: float | None = None) -> api.CollectionClusterInfoResponse:
    """Get where the replicas of a collection's shards are; an API key may forbid it."""
    request = api.CollectionClusterInfoRequest(collection_name=name)
    answer: api.CollectionClusterInfoResponse = server.call(
        server.collections.CollectionClusterInfo, request, retry_for=retry_for
    )
    return answer


def peer_ids(server: Server, name: str) -> set[int]:
    """The ids of the peer that answers, and of those that hold shards of the collection."""
    cluster = cluster_info(server, name)
    return {cluster.peer_id, *(shard.peer_id for shard in cluster.remote_shards)}


def is_custom(info: api.CollectionInfo | None) -> bool:
    """Whether there is a collection, and it shards by key."""
    return info is not None and info.config.params.sharding_method == api.ShardingMethod.Custom


def strict_mode(info: api.CollectionInfo | None) -> api.StrictModeConfig:
    """The strict mode in force; empty where it is off."""
    if info is None or not info.config.strict_mode_config.enabled:
        return api.StrictModeConfig()
    return info.config.strict_mode_config


def allows_exact_counts(info: api.CollectionInfo) -> bool:
    """Whether strict mode allows exact counts."""
    strict = strict_mode(info)
    return strict.search_allow_exact or not strict.HasField("search_allow_exact")


def check_readable(info: api.CollectionInfo, role: str, name: str) -> None:
    """Raise TerminalError while points wait for their index: scroll and count hide them (measured on 1.18.3)."""
    if deferred := info.update_queue.deferred_points:
        raise TerminalError(
            f"{deferred:,} points of the {role} collection {name!r} cannot be read yet: its prevent_unoptimized "
            "hides them until they are indexed; wait until its optimization is done"
        )


def exact_count(server: Server, name: str, shard_key: api.ShardKey | None) -> int:
    """Count the points of a collection, or of one of its shard keys, exactly.

    Without a shard key an id that several shard keys have is counted several times. Points that
    prevent_unoptimized hides are not counted. Strict mode must allow it (`allows_exact_counts`).
    """
    request = api.CountPoints(collection_name=name, exact=True, timeout=COUNT_TIMEOUT)
    if shard_key is not None:
        request.shard_key_selector.shard_keys.append(shard_key)
    if max_timeout := strict_mode(existing_collection_info(server, name)).max_timeout:
        # Strict mode refuses a longer time-out; it does not shorten it.
        request.timeout = min(COUNT_TIMEOUT, max_timeout)
    count: int = server.call(server.points.Count, request, timeout=COUNT_TIMEOUT).result.count
    return count
