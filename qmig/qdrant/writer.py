"""Write points to the target. Only an upsert that is `Completed` counts."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from qmig.errors import ContentsRefusedError, TransientError
from qmig.qdrant import messages as api
from qmig.qdrant.enum_names import enum_name
from qmig.qdrant.keys import shard_key_selector
from qmig.qdrant.passthrough import read_upsert, upsert_request
from qmig.qdrant.routing import Routed, Router
from qmig.qdrant.server import Server, completed
from qmig.qdrant.shard_keys import ShardKeyPlacement, create_shard_key
from qmig.rpc.call import Call

UPSERT = "/qdrant.Points/Upsert"


@dataclass(frozen=True)
class Upsert:
    """An upsert under way."""

    #: The serialized request.
    request: bytes
    #: Number of points in it.
    points: int
    #: The answer, once it arrives.
    call: Call[bytes]


class Writer:
    """Writes the points of one migration, each to the shard key that `router` gives it."""

    def __init__(self, server: Server, collection: str, router: Router) -> None:
        self._server = server
        self._collection = collection
        self._router = router
        self._upsert = server.raw_method(UPSERT)
        self._headers: dict[str | None, bytes] = {}

    def route(self, points: Sequence[bytes], partition: str | None) -> Routed:
        """Group serialized `PointStruct`s that were read from `partition` by their shard key."""
        return self._router.route(points, partition)

    def new_keys(self, routed: Routed) -> list[str]:
        """The shard keys that `send` would have to create first: they are new to this writer."""
        if not self._router.makes_keys:
            return []
        return [key for key in routed.groups if key is not None and key not in self._headers]

    def create_shard_keys(self, routed: Routed) -> None:
        """Create the shard keys that are new to this writer. On a cluster this takes a while.

        TransientError is left to the caller, which shows why it waits.
        """
        for key in routed.groups:
            self._header(key, retry_for=0)

    def send(self, routed: Routed) -> list[Upsert]:
        """Send points, in one request for each shard key."""
        return [
            self._send(upsert_request(self._header(key), group), len(group)) for key, group in routed.groups.items()
        ]

    def send_again(self, upsert: Upsert) -> Upsert:
        """Send the same request once more."""
        return self._send(upsert.request, upsert.points)

    def write_halves(
        self,
        upsert: Upsert,
        refused: ContentsRefusedError,
        before_send: Callable[[], None],
        wait: Callable[[Upsert], None],
    ) -> Iterator[tuple[bytes, ContentsRefusedError]]:
        """Halve a refused upsert until the points at fault are alone; yield each with the target's reason.

        `wait` waits for an upsert. A batch that was only too large is then in the target, and no point is at fault.
        """
        header, points = read_upsert(upsert.request)
        if len(points) == 1:
            yield points[0], refused
            return
        middle = len(points) // 2
        for half in (points[:middle], points[middle:]):
            before_send()
            sent = self._send(upsert_request(header, half), len(half))
            try:
                wait(sent)
            except ContentsRefusedError as error:
                yield from self.write_halves(sent, error, before_send, wait)

    def check(self, upsert: Upsert) -> None:
        """Wait for the answer; TransientError unless the points are durably in the target.

        ContentsRefusedError where the target refuses a point.
        """
        response = api.PointsOperationResponse.FromString(upsert.call.result())
        if not completed(response):
            status = enum_name(api.UpdateStatus.DESCRIPTOR, response.result.status)
            message = f"target {self._server.endpoint.url}: an upsert ended as {status}"
            raise TransientError(message, reason="target upsert not completed")

    def _send(self, request: bytes, points: int) -> Upsert:
        return Upsert(request, points, self._server.start(self._upsert, request))

    def _header(self, key: str | None, retry_for: float | None = None) -> bytes:
        """The fields of an `UpsertPoints` beside the points; creates a shard key that is new to this writer."""
        if key not in self._headers:
            selector = shard_key_selector(key)
            if selector is not None and self._router.makes_keys:
                placement = ShardKeyPlacement(json.loads(key or "null"))
                create_shard_key(self._server, self._collection, placement, retry_for)
            self._headers[key] = api.UpsertPoints(
                collection_name=self._collection, wait=True, shard_key_selector=selector
            ).SerializeToString()
        return self._headers[key]
