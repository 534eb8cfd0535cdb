"""A proxy that answers as many calls as it is told in the server's place, and is told while it runs."""

import threading
from collections import Counter

from qmig.migration import Endpoint
from tests.support.grpc_proxy import GrpcProxy, Reply


class Answering(GrpcProxy):
    """Stands before a Qdrant and passes on what it is not told to answer."""

    def __init__(self, behind: Endpoint) -> None:
        super().__init__(behind)
        self.reply = self._next_reply
        self._replies: dict[str, tuple[Reply, bytes]] = {}
        self._left: Counter[str] = Counter()
        self._lock = threading.Lock()

    def answer(self, method: str, reply: Reply, times: int, collection: str) -> None:
        """Answer the next `times` calls of `method`, such as "Upsert", for `collection` with `reply`."""
        # Every request names its collection in field 1, and the serializer writes that first.
        with self._lock:
            self._replies[method] = (reply, b"\n%c%s" % (len(collection), collection.encode()))
            self._left[method] = times

    def left(self, method: str) -> int:
        """The number of calls of `method` that are still to be answered so."""
        return self._left[method]

    def restore(self) -> None:
        """Pass everything on again."""
        with self._lock:
            self._replies.clear()
            self._left.clear()

    def _next_reply(self, path: str, request: bytes) -> Reply | None:
        method = path.rpartition("/")[2]
        with self._lock:
            reply, beginning = self._replies.get(method, (None, b""))
            if not self._left[method] or not request.startswith(beginning):
                return None
            self._left[method] -= 1
            return reply
