"""Which shard key of the target a point goes to."""

from collections.abc import Sequence
from typing import Any

from qmig.errors import TerminalError
from qmig.migration import Routing
from qmig.wire import api
from qmig.wire.keys import PointKey, shard_key_text
from qmig.wire.passthrough import payload_value, point_id


class Router:
    """Routes points of one migration. `custom` says whether the target shards by key."""

    def __init__(self, routing: Routing, custom: bool) -> None:
        self._routing = routing
        self._custom = custom

    @property
    def makes_keys(self) -> bool:
        """Whether points may name shard keys that the target has not got yet."""
        return self._routing.shard_key_field is not None

    @property
    def keeps_parts(self) -> bool:
        """Whether a point has the shard key that it has in the source."""
        return self._custom and self._routing == Routing()

    def groups(self, points: Sequence[bytes], part: str | None) -> list[tuple[str | None, Sequence[bytes]]]:
        """Serialized `PointStruct`s that were read from `part`, by their shard key as text; None is no shard key.

        An empty range has no group: a Qdrant refuses a request without points.
        """
        if not points:
            return []
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


def _shown(value: Any) -> str:
    return " ".join(str(value).split())[:80] or "nothing"
