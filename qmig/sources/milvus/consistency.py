"""One point of consistency for a whole migration: a timestamp that every read sees at least."""

import time

from qmig.errors import QmigError
from qmig.sources.milvus.connection import MilvusConnection
from qmig.sources.milvus.messages import milvus
from qmig.sources.milvus.requests import Requests

# Milvus' timestamps: milliseconds since the epoch, and below them a counter of so many bits.
LOGICAL_BITS = 18
# A server that waits for its timestamp cannot answer at once for one that is so far ahead.
AHEAD_MS = 3000
ANSWERS_WITHIN = 0.5


def choose_guarantee_timestamp(server: MilvusConnection, requests: Requests) -> int:
    """A timestamp of now, for a server that waits until it has seen it; 0 where only Strong reads are sure.

    Milvus waits with an answer until the guarantee timestamp has passed (its docs, "Consistency Level"); one that
    answers at once for a timestamp in the future pays no heed to it.
    """
    try:
        now: int = server.ask(
            "AllocTimestamp", milvus.AllocTimestampRequest(), milvus.AllocTimestampResponse, retry_for=0
        ).timestamp
    except QmigError:
        # Milvus Lite has no clock of its own to ask.
        now = int(time.time() * 1000) << LOGICAL_BITS
    requests.moment = now + (AHEAD_MS << LOGICAL_BITS)
    probe = server.start_query(requests.keys(None, None, None, 1))
    if probe.wait(ANSWERS_WITHIN):
        return 0
    probe.cancel()
    return now
