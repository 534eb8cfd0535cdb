"""What a server that is in trouble for now answers."""

import grpc

from qmig.wire import api
from tests.faults.answering import Refusal, Reply, Unapplied

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
    "wait-timeout": Unapplied(api.WaitTimeout),
    "acknowledged": Unapplied(api.Acknowledged),
}
