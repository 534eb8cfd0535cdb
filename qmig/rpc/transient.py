"""Which failed calls may succeed when they are tried again: by their status, and by their text where that decides."""

import grpc

#: Statuses that are transient whatever the text.
TRANSIENT = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.CANCELLED,
}
#: Parts of the text that make an error of another status transient. Qdrant answers `INTERNAL` about a cluster that is
#: changing as well as about a broken segment, so only the text tells. The texts are those of Qdrant 1.19, by the file
#: of its sources; a wrong guess is bounded, since nothing is tried again for longer than `--retry-for`.
TRANSIENT_TEXTS = {
    grpc.StatusCode.INTERNAL: (
        # replica_set/execute_read_operation.rs: no replica of a shard can answer a read, which a cluster also says,
        # with "0 of 0" replicas, about a collection that was just created.
        "read operations failed",
        "does not have enough active replicas",
        # replica_set/update.rs: a replica has missed a write and is not marked dead yet, or none is ready, as after
        # another client has created the shard key.
        "Please retry",
        "has no active replica",
        # replica_set/update.rs: the leader of an ordered write is away, and another one is chosen for the next write.
        "ordering via leader peer",
        "no leader could be selected",
        "was removed from the replica set",
        # replica_set/update.rs: the replicas' clocks disagree, as after one of them was restored.
        "all attempts were rejected",
        # replica_set/read_ops.rs, shards/local_shard: a shard moves between peers at this moment.
        "Local shard",
        # content_manager/consensus_manager.rs: the peers have not agreed on a change in time, or have no leader.
        "Waiting for consensus operation commit failed",
        "leader is not established",
        # content_manager/consensus_manager.rs and errors.rs: the server is shutting down.
        "hannel sender dropped",
        "Channel closed",
        # shards/channel_service.rs: the peers could not be asked whether they have applied a change.
        "Failed to wait for consensus commit",
        "on consensus after",
        "through consensus",
        # operations/types.rs: another peer does not answer this one, or the call was given up there.
        "Tonic error",
        "Tonic status error",
        "Tonic transport error",
        "Deadline Exceeded",
        "Operation cancelled",
        "Operation Cancelled",
        # operations/types.rs: `OutOfMemory`, which the server itself counts among the transient errors.
        "Out of memory, free",
        # gRPC itself (grpc/src/core, and hyper behind a proxy): the connection was reset in the middle of a call.
        "RST_STREAM",
        "error reading a body from connection",
    ),
    # collection/point_ops.rs: the shards of a shard key are not there yet, at this peer.
    grpc.StatusCode.FAILED_PRECONDITION: ("No target shard",),
    # gRPC itself: the connection was reset, or a proxy answered in place of the server.
    grpc.StatusCode.UNKNOWN: ("Stream removed", "transport error", "connection error"),
}


def is_transient(status: grpc.StatusCode, details: str) -> bool:
    """Whether a call that failed with this status and text may succeed when it is tried again."""
    return status in TRANSIENT or any(part in details for part in TRANSIENT_TEXTS.get(status, ()))
