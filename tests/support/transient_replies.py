"""The replies of a server that is unavailable for a while."""

import grpc

from qmig.qdrant import messages as api
from tests.support.grpc_proxy import Refusal, Reply


def unapplied(status: int) -> bytes:
    """An update's answer with another status than Completed."""
    return api.PointsOperationResponse(result=api.UpdateResult(status=status)).SerializeToString()


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
    "wait-timeout": unapplied(api.WaitTimeout),
    "acknowledged": unapplied(api.Acknowledged),
}
