"""Upserts into the target collection: which shard key a point goes to, and that nothing but `Completed` counts."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from qmig.connections import Call, Server
from qmig.errors import ContentsRefusedError, TerminalError, TransientError
from qmig.ledger import completed
from qmig.migration import Routing
from qmig.target import ShardKeyPlacement, create_shard_key
from qmig.wire import api
from qmig.wire.keys import PointKey, shard_key_selector, shard_key_text
from qmig.wire.passthrough import payload_value, point_id, read_upsert, upsert_request

UPSERT = "/qdrant.Points/Upsert"


@dataclass(frozen=True)
class Upsert:
    """One serialized request, the points in it, and its answer under way."""

    request: bytes
    points: int
    call: Call[bytes]


class Writer:
    """Writes points of one migration. `custom` says whether the target shards by key."""

    def __init__(self, server: Server, collection: str, routing: Routing, custom: bool) -> None:
        self._server = server
        self._collection = collection
        self._routing = routing
        self._custom = custom
        self._upsert = server.raw_method(UPSERT)
        self._headers: dict[str | None, bytes] = {}

    def start(self, points: Sequence[bytes], part: str | None) -> list[Upsert]:
        """Send serialized `PointStruct`s that were read from `part`; one request a shard key.

        An empty range has nothing to send: a Qdrant refuses an upsert without points.
        """
        return [
            self._send(upsert_request(self._header(key), group), len(group))
            for key, group in self._routed(points, part)
            if group
        ]

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
            status = api.UpdateStatus.Name(response.result.status)
            message = f"target {self._server.endpoint.url}: an upsert ended as {status}"
            raise TransientError(message, reason="target upsert not completed")

    def _send(self, request: bytes, points: int) -> Upsert:
        return Upsert(request, points, self._server.start(self._upsert, request))

    def _routed(self, points: Sequence[bytes], part: str | None) -> list[tuple[str | None, Sequence[bytes]]]:
        if not self._custom:
            return [(None, points)]
        if self._routing.shard_key is not None:
            return [(shard_key_text(api.ShardKey(keyword=self._routing.shard_key)), points)]
        if self._routing.shard_key_field is None:
            return [(part, points)]
        groups: dict[str | None, list[bytes]] = {}
        for point in points:
            groups.setdefault(shard_key_text(self._field_key(point)), []).append(point)
        return list(groups.items())

    def _field_key(self, point: bytes) -> api.ShardKey:
        name = self._routing.shard_key_field or ""
        value = payload_value(point, name)
        if value is not None and value.HasField("string_value") and value.string_value:
            return api.ShardKey(keyword=value.string_value)
        if value is not None and value.HasField("integer_value") and value.integer_value >= 0:
            return api.ShardKey(number=value.integer_value)
        found = "is missing" if value is None else f"holds {_shown(value)}"
        raise TerminalError(
            f"point {PointKey.of(point_id(point)).text}: its payload field {name!r} {found}; "
            "--target-shard-key-field needs a non-empty string or a non-negative integer in every point"
        )

    def _header(self, key: str | None) -> bytes:
        """All of an `UpsertPoints` but the points; a shard key that is met for the first time is created."""
        if key not in self._headers:
            selector = shard_key_selector(key)
            if selector is not None and self._routing.shard_key_field is not None:
                placement = ShardKeyPlacement(json.loads(key or "null"))
                create_shard_key(self._server, self._collection, placement)
            self._headers[key] = api.UpsertPoints(
                collection_name=self._collection, wait=True, shard_key_selector=selector
            ).SerializeToString()
        return self._headers[key]


def _shown(value: Any) -> str:
    return " ".join(str(value).split())[:80] or "nothing"
