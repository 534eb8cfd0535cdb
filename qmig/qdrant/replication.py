"""Tell before a target is created whether it can have the replicas that it asks for."""

from qmig.errors import AccessError, TerminalError
from qmig.qdrant.collection import collection_names, peer_ids
from qmig.qdrant.server import Server
from qmig.qdrant.shard_keys import check_shard_keys_possible

#: Collections whose placement is looked at for the peers of a server.
MAX_COLLECTIONS = 10


def replication_notices(server: Server, name: str, wanted: int) -> list[str]:
    """Describe where the target `name` would have fewer replicas than `wanted`; one line, none if it has as many.

    gRPC tells the peers that hold shards, and no others: where these are too few, the notice says "if".
    """
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
    names = collection_names(server)[:MAX_COLLECTIONS]
    return len({peer for name in names for peer in peer_ids(server, name)})
