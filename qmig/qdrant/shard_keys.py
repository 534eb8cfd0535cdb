"""List, create and compare the shard keys of collections."""

import time
import uuid
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from qmig.errors import NotFoundError, TerminalError, TransientError
from qmig.qdrant import messages as api
from qmig.qdrant.collection import cluster_info, existing_collection_info, is_custom
from qmig.qdrant.server import Server

#: States of replicas that move between peers; these do not count as replicas of a shard.
MOVING = {
    api.ReplicaState.Partial,
    api.ReplicaState.PartialSnapshot,
    api.ReplicaState.Recovery,
    api.ReplicaState.Resharding,
    api.ReplicaState.ManualRecovery,
}

#: States of replicas that no wait changes: a dead one becomes active when its peer is back, a listener never does.
SETTLED = {api.ReplicaState.Active, api.ReplicaState.Dead, api.ReplicaState.Listener}
#: Seconds that the replicas of a new shard key get to become active. One on a dead peer does not.
ACTIVE_WITHIN = 10
#: Seconds between two looks at them.
POLL_SECONDS = 0.1

CLUSTER_MODE = "they need a Qdrant in cluster mode (QDRANT__CLUSTER__ENABLED=true) and custom sharding"


@dataclass(frozen=True)
class ShardKeyPlacement:
    """One shard key and its shards."""

    key: str | int
    #: Number of its shards; None where the server does not tell.
    shards_number: int | None = None
    #: Replicas of each shard; None where the server does not tell.
    replication_factor: int | None = None

    @property
    def shard_key(self) -> api.ShardKey:
        return api.ShardKey(keyword=self.key) if isinstance(self.key, str) else api.ShardKey(number=self.key)


def shard_keys(server: Server, collection: str) -> list[ShardKeyPlacement]:
    """List the shard keys of a collection, empty ones included; none without custom sharding.

    Every shard key has a shard, so the cluster info (Qdrant 1.7 and later) names all of them.
    """
    if not is_custom(existing_collection_info(server, collection)):
        return []
    try:
        shards = _settled_replicas(server, collection)
    except TerminalError:
        # An API key may allow to list the shard keys (1.16 and later) but not to see the cluster.
        request = api.ListShardKeysRequest(collection_name=collection)
        listed = server.call(server.collections.ListShardKeys, request).shard_keys
        return _sorted([ShardKeyPlacement(_value(description.key)) for description in listed])
    by_key: dict[str | int, list[int]] = defaultdict(list)
    for key, replicas in shards:
        if key is not None:
            by_key[key].append(replicas)
    return _sorted(
        [
            ShardKeyPlacement(key, sum(1 for count in counts if count) or len(counts), max(*counts, 1))
            for key, counts in by_key.items()
        ]
    )


def check_shard_keys_possible(server: Server, collection: str) -> None:
    """Raise TerminalError where the server cannot have shard keys. Call it before the collection is created.

    A server without cluster mode creates a collection with custom sharding, and then refuses every shard key.
    """
    # No call tells whether a server is in cluster mode. This one fails with another error there, and deletes nothing:
    # no collection has this shard key.
    request = api.DeleteShardKeyRequest(collection_name=collection)
    request.request.shard_key.keyword = str(uuid.uuid4())
    try:
        server.call(server.collections.DeleteShardKey, request)
    except NotFoundError:
        return
    except TerminalError as error:
        raise TerminalError(f"{error}; {collection!r} cannot have shard keys: {CLUSTER_MODE}") from None


def create_shard_key(
    server: Server, collection: str, placement: ShardKeyPlacement, retry_for: float | None = None
) -> None:
    """Create a shard key with its shards unless it exists, and wait until points can be written to it.

    Another client may be creating the same key at this moment. TransientError where no replica is ready in time. With
    fewer peers than replicas, Qdrant creates one replica for each peer without an error; `placement_notices` tells.
    """
    # Qdrant waits for all replicas too. Where one is on a dead peer it answers with an error, and the key is there.
    request = api.CreateShardKeyRequest(collection_name=collection, timeout=ACTIVE_WITHIN)
    request.request.shard_key.CopyFrom(placement.shard_key)
    if placement.shards_number is not None:
        request.request.shards_number = placement.shards_number
    if placement.replication_factor is not None:
        request.request.replication_factor = placement.replication_factor
    try:
        server.call(server.collections.CreateShardKey, request, retry_for=retry_for)
    except TerminalError as error:
        if all(existing.key != placement.key for existing in shard_keys(server, collection)):
            raise TerminalError(
                f"{error}; shard key {placement.key!r} of {collection!r} could not be created: {CLUSTER_MODE}"
            ) from None
    _wait_until_active(server, collection, placement.key, retry_for)


def _wait_until_active(server: Server, collection: str, key: str | int, retry_for: float | None) -> None:
    """Wait until the replicas of a shard key are active or dead, `ACTIVE_WITHIN` seconds at most.

    A replica on a peer that was dead before stays in its first state until a write to it fails. TransientError where
    a shard has no active replica.
    """
    deadline = time.monotonic() + ACTIVE_WITHIN
    while True:
        try:
            states = _replica_states(server, collection, key, retry_for)
        except TerminalError:
            # The API key does not allow to see the cluster. A write to a replica that is not ready is tried again.
            return
        is_usable = bool(states) and all(api.ReplicaState.Active in shard for shard in states)
        is_over = time.monotonic() >= deadline
        if is_usable and (is_over or all(state in SETTLED for shard in states for state in shard)):
            return
        if is_over:
            raise TransientError(
                f"{server.role} {server.endpoint.url}: shard key {key!r} of {collection!r} has no active replica yet",
                reason=f"{server.role} shard key not ready",
            )
        time.sleep(POLL_SECONDS)


def _replica_states(server: Server, collection: str, key: str | int, retry_for: float | None) -> list[list[int]]:
    """The states of the replicas of each shard of a shard key."""
    shards: defaultdict[int, list[int]] = defaultdict(list)
    for shard in _replicas(server, collection, retry_for):
        if shard.HasField("shard_key") and _value(shard.shard_key) == key:
            shards[shard.shard_id].append(shard.state)
    return list(shards.values())


def placement_notices(server: Server, collection: str, wanted: Sequence[ShardKeyPlacement]) -> list[str]:
    """Describe where a target has fewer shards or replicas than wanted; one line each."""
    info = existing_collection_info(server, collection)
    if is_custom(info):
        placed = {placement.key: placement for placement in shard_keys(server, collection)}
        return [
            f"shard key {key.key!r}: {ours} in the source, {theirs} in the target"
            for key in wanted
            if key.key in placed and (ours := _described(key)) != (theirs := _described(placed[key.key]))
        ]
    asked = info.config.params.replication_factor
    fewest = min((replicas for _, replicas in _settled_replicas(server, collection)), default=asked)
    if 0 < fewest < asked:
        return [f"replication_factor {asked}: the target has peers for {fewest} only; add peers and replicate"]
    return []


def _settled_replicas(server: Server, collection: str) -> list[tuple[str | int | None, int]]:
    """The shard key and the number of settled replicas of each shard."""
    shards: dict[int, tuple[str | int | None, int]] = {}
    for shard in _replicas(server, collection):
        key = _value(shard.shard_key) if shard.HasField("shard_key") else None
        _, replicas = shards.get(shard.shard_id, (key, 0))
        shards[shard.shard_id] = (key, replicas + (shard.state not in MOVING))
    return list(shards.values())


def _replicas(
    server: Server, collection: str, retry_for: float | None = None
) -> list[api.LocalShardInfo | api.RemoteShardInfo]:
    """All replicas of a collection's shards."""
    cluster = cluster_info(server, collection, retry_for)
    return [*cluster.local_shards, *cluster.remote_shards]


def _value(key: api.ShardKey) -> str | int:
    return key.number if key.WhichOneof("key") == "number" else key.keyword


def _sorted(placements: list[ShardKeyPlacement]) -> list[ShardKeyPlacement]:
    # A plan follows this order, which must not depend on the order of the server's answer.
    return sorted(placements, key=lambda placement: (isinstance(placement.key, str), placement.key))


def _described(placement: ShardKeyPlacement) -> str:
    return f"shards_number {placement.shards_number}, replication_factor {placement.replication_factor}"
