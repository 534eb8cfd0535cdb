"""Choose the guarantee timestamp of a migration: every read sees at least the rows written before it."""

import time

from qmig.errors import QmigError
from qmig.sources.milvus.connection import MilvusConnection
from qmig.sources.milvus.messages import milvus
from qmig.sources.milvus.requests import Requests

#: Bits of the counter below the milliseconds in a timestamp of Milvus.
LOGICAL_BITS = 18
#: Milliseconds by which the probe's timestamp lies in the future.
AHEAD_MS = 3000
#: Seconds within which only a server that ignores the timestamp answers the probe.
PROBE_SECONDS = 0.5


def choose_guarantee_timestamp(server: MilvusConnection, requests: Requests) -> int:
    """Return the server's present timestamp; 0 where it ignores timestamps, so that only Strong reads are safe.

    Milvus delays an answer until the guarantee timestamp has passed (its docs, "Consistency Level"). A server that
    answers at once for a timestamp in the future ignores it.
    """
    try:
        now: int = server.ask(
            "AllocTimestamp", milvus.AllocTimestampRequest(), milvus.AllocTimestampResponse, retry_for=0
        ).timestamp
    except QmigError:
        # Milvus Lite does not give timestamps.
        now = int(time.time() * 1000) << LOGICAL_BITS
    requests.guarantee_timestamp = now + (AHEAD_MS << LOGICAL_BITS)
    probe = server.start_query(requests.keys(None, None, None, 1))
    if probe.wait(PROBE_SECONDS):
        return 0
    probe.cancel()
    return now
