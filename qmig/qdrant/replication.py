"""Tell before a target is created whether it can have the replicas that it asks for."""

from collections.abc import Sequence

from qmig.errors import AccessError, TerminalError
from qmig.qdrant import messages as api
from qmig.qdrant.collection import collection_names
from qmig.qdrant.server import Server
from qmig.qdrant.shard_keys import ShardKeyPlacement, check_shard_keys_possible

#: Collections whose placement is looked at for the peers of a server.
MAX_COLLECTIONS = 10


def replication_notices(
    server: Server, name: str, source: api.CollectionInfo, shard_keys: Sequence[ShardKeyPlacement]
) -> list[str]:
    """Describe where the target `name` would have fewer replicas than `source`; one line, none if it has as many.

    gRPC tells the peers that hold shards, and no others: where these are too few, the notice says "if".
    """
    factors = [source.config.params.replication_factor, *(key.replication_factor or 0 for key in shard_keys)]
    wanted = max(factors)
    if wanted < 2:
        return []
    try:
        check_shard_keys_possible(server, name)
        if _peers(server) >= wanted:
            return []
    except AccessError:
        pass
    except TerminalError:
        return [
            f"replication_factor {wanted}: the target is not in cluster mode, so it has one replica of each shard"
        ]
    return [
        f"replication_factor {wanted}: if the target has fewer peers, each shard has only one replica on each peer"
    ]


def _peers(server: Server) -> int:
    """Count the peers that hold shards of some collections."""
    found: set[int] = set()
    for collection in collection_names(server)[:MAX_COLLECTIONS]:
        request = api.CollectionClusterInfoRequest(collection_name=collection)
        cluster = server.call(server.collections.CollectionClusterInfo, request)
        found |= {cluster.peer_id, *(shard.peer_id for shard in cluster.remote_shards)}
    return len(found)
