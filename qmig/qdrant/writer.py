"""Upserts into the target collection: nothing but `Completed` counts."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from qmig.errors import ContentsRefusedError, TransientError
from qmig.qdrant import messages as api
from qmig.qdrant.enum_names import enum_name
from qmig.qdrant.keys import shard_key_selector
from qmig.qdrant.passthrough import read_upsert, upsert_request
from qmig.qdrant.routing import Router
from qmig.qdrant.server import Server, completed
from qmig.qdrant.shard_keys import ShardKeyPlacement, create_shard_key
from qmig.rpc.call import Call

UPSERT = "/qdrant.Points/Upsert"


@dataclass(frozen=True)
class Upsert:
    """One serialized request, the points in it, and its answer under way."""

    request: bytes
    points: int
    call: Call[bytes]


class Writer:
    """Writes points of one migration, each to the shard key that `router` says."""

    def __init__(self, server: Server, collection: str, router: Router) -> None:
        self._server = server
        self._collection = collection
        self._router = router
        self._upsert = server.raw_method(UPSERT)
        self._headers: dict[str | None, bytes] = {}

    def start(
        self, points: Sequence[bytes], partition: str | None
    ) -> tuple[list[Upsert], Sequence[tuple[bytes, str]]]:
        """Send serialized `PointStruct`s that were read from `partition`; one request a shard key.

        Also the points for which there is no shard key, each with the reason.
        """
        routed = self._router.route(points, partition)
        upserts = [
            self._send(upsert_request(self._header(key), group), len(group)) for key, group in routed.groups.items()
        ]
        return upserts, routed.strays

    def send_again(self, upsert: Upsert) -> Upsert:
        """Send the same request once more."""
        return self._send(upsert.request, upsert.points)

    def write_halves(
        self, upsert: Upsert, refused: ContentsRefusedError, write: Callable[[Upsert], None]
    ) -> Iterator[tuple[bytes, ContentsRefusedError]]:
        """Halve a refused upsert until the points at fault stand alone; each of them with the target's reason.

        `write` waits for an upsert. A batch that is merely too large is in the target afterwards, and none at fault.
        """
        header, points = read_upsert(upsert.request)
        if len(points) == 1:
            yield points[0], refused
            return
        middle = len(points) // 2
        for half in (points[:middle], points[middle:]):
            sent = self._send(upsert_request(header, half), len(half))
            try:
                write(sent)
            except ContentsRefusedError as error:
                yield from self.write_halves(sent, error, write)

    def check(self, upsert: Upsert) -> None:
        """Wait for the answer; TransientError unless the points are durably in the target.

        ContentsRefusedError where the target will not have them as they are.
        """
        response = api.PointsOperationResponse.FromString(upsert.call.result())
        if not completed(response):
            status = enum_name(api.UpdateStatus.DESCRIPTOR, response.result.status)
            message = f"target {self._server.endpoint.url}: an upsert ended as {status}"
            raise TransientError(message, reason="target upsert not completed")

    def _send(self, request: bytes, points: int) -> Upsert:
        return Upsert(request, points, self._server.start(self._upsert, request))

    def _header(self, key: str | None) -> bytes:
        """All of an `UpsertPoints` but the points; a shard key that is met for the first time is created."""
        if key not in self._headers:
            selector = shard_key_selector(key)
            if selector is not None and self._router.makes_keys:
                placement = ShardKeyPlacement(json.loads(key or "null"))
                create_shard_key(self._server, self._collection, placement)
            self._headers[key] = api.UpsertPoints(
                collection_name=self._collection, wait=True, shard_key_selector=selector
            ).SerializeToString()
        return self._headers[key]
