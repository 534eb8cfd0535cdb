"""The replies of a server that is unavailable for a while."""

import grpc

from qmig.qdrant import messages as api
from tests.support.grpc_proxy import Refusal, Reply


def unapplied(status: int) -> bytes:
    """An update's answer with another status than Completed."""
    return api.PointsOperationResponse(result=api.UpdateResult(status=status)).SerializeToString()


def internal(details: str) -> Refusal:
    return Refusal(grpc.StatusCode.INTERNAL, f"Service internal error: {details}")


#: The errors of a cluster whose peers are dead, late or being changed, in the words of Qdrant 1.19.
OF_A_CLUSTER: dict[str, Refusal] = {
    "no replica to read": internal("1 of 1 read operations failed:\n  Service internal error: Tonic status error"),
    "not enough replicas": internal("The replica set for shard 0 on peer 7 does not have enough active replicas"),
    "deactivation timed out": internal(
        "Some replica of shard 0 failed to apply operation and deactivation timed out after 30s. "
        "Consistency of this update is not guaranteed. Please retry. Failed peer: 7, error: Timeout error"
    ),
    "no active replica yet": internal(
        "Failed to apply operation to at least one `Active` replica. Consistency of this update is not guaranteed. "
        "Please retry. "
    ),
    "no replica to write": internal("The replica set for shard 1 on peer 7 has no active replica"),
    "leader is dead": internal(
        "Failed to apply update with Medium ordering via leader peer 7: Service internal error: Tonic status error: "
        "code: 'The service is currently unavailable', message: \"tcp connect error\""
    ),
    "no leader of a shard": internal(
        "Cannot update shard offsets:0 with Medium ordering because no leader could be selected"
    ),
    "replica removed": internal("Cannot forward update to shard 0 because was removed from the replica set"),
    "clocks disagree": internal("Failed to apply operation X after 3 attempts, all attempts were rejected"),
    "shard moved": internal("Local shard 3 not found"),
    "no agreement in time": internal("Waiting for consensus operation commit failed. Timeout set at: 10 seconds"),
    "no leader of the cluster": internal("Failed to propose operation: leader is not established within 10s"),
    "shutting down": internal("Oneshot channel sender dropped: channel closed"),
    "shutting down its consensus": internal(
        "Error occurred while waiting for consensus operation. Channel sender dropped (channel closed)"
    ),
    "queue closed": internal("Channel closed: sending on a closed channel"),
    "peers are late": internal("Failed to wait for consensus commit on peer 7: timed out"),
    "not confirmed": internal("Failed to confirm state switch operation on consensus after 3 retries: timed out"),
    "not proposed": internal("Failed to propose and confirm metadata update operation through consensus: timed out"),
    "peer cannot be reached": internal("Tonic error: transport error: tcp connect error"),
    "peer is unavailable": internal("Tonic status error: code: 'The service is currently unavailable'"),
    "peer resets": internal("Tonic transport error: transport error"),
    "peer is slow": internal("Internal error: Deadline Exceeded: Healthcheck timeout 2000ms exceeded"),
    "cancelled there": internal("Operation cancelled: the update worker was stopped"),
    "cancelled at a peer": internal("Operation Cancelled: task was aborted"),
    "no memory": internal("Out of memory, free: 1024, cannot optimize"),
    "reset by the server": Refusal(grpc.StatusCode.INTERNAL, "Received RST_STREAM with error code 2"),
    "reset behind a proxy": Refusal(grpc.StatusCode.INTERNAL, "h2: error reading a body from connection"),
    "shard key is being created": Refusal(
        grpc.StatusCode.FAILED_PRECONDITION,
        "Pre-condition failure: Precondition failed: No target shard ShardKey(Keyword(eu)) found for update",
    ),
    "stream removed": Refusal(grpc.StatusCode.UNKNOWN, "Stream removed"),
    "transport error": Refusal(grpc.StatusCode.UNKNOWN, "transport error"),
    "connection error": Refusal(grpc.StatusCode.UNKNOWN, "client error (Connect): connection error"),
}

TRANSIENT: dict[str, Reply] = {
    "resource-exhausted": Refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, "Rate limit exceeded"),
    "resource-exhausted-retry-after": Refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, "Rate limit exceeded", "1"),
    "retry-after-that-is-a-date": Refusal(
        grpc.StatusCode.RESOURCE_EXHAUSTED, "Rate limit exceeded", "Wed, 21 Oct 2026 07:28:00 GMT"
    ),
    "unavailable": Refusal(grpc.StatusCode.UNAVAILABLE, "the server is being moved"),
    "deadline-exceeded": Refusal(grpc.StatusCode.DEADLINE_EXCEEDED, "too slow"),
    "deadline-exceeded-but-done": Refusal(grpc.StatusCode.DEADLINE_EXCEEDED, "too slow", done=True),
    "aborted": Refusal(grpc.StatusCode.ABORTED, "try again"),
    "leader-is-dead": OF_A_CLUSTER["leader is dead"],
    "no-active-replica-yet": OF_A_CLUSTER["no active replica yet"],
    "wait-timeout": unapplied(api.WaitTimeout),
    "acknowledged": unapplied(api.Acknowledged),
}
