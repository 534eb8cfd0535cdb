"""Route points to the shard keys of the target."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from qmig.migration import Routing
from qmig.qdrant import messages as api
from qmig.qdrant.keys import shard_key_text
from qmig.qdrant.passthrough import payload_value


@dataclass(frozen=True)
class Routed:
    """Serialized `PointStruct`s of one batch, by where they go."""

    #: Points by their shard key as text; None is no shard key.
    groups: dict[str | None, Sequence[bytes]]
    #: Points for which there is no shard key, each with the reason.
    strays: Sequence[tuple[bytes, str]] = field(default=())


class Router:
    """Routes the points of one migration. `custom` says whether the target shards by key."""

    def __init__(self, routing: Routing, custom: bool) -> None:
        self._routing = routing
        self._custom = custom

    @property
    def makes_keys(self) -> bool:
        """Whether points may name shard keys that the target does not have yet."""
        return self._routing.shard_key_field is not None

    @property
    def keeps_partitions(self) -> bool:
        """Whether each point keeps the shard key that it has in the source."""
        return self._custom and self._routing == Routing()

    def route(self, points: Sequence[bytes], partition: str | None) -> Routed:
        """Group serialized `PointStruct`s that were read from `partition` by their shard key.

        An empty batch has no group: Qdrant refuses a request without points.
        """
        if not points:
            return Routed({})
        if self._custom and self._routing.shard_key_field is not None:
            return _by_field(points, self._routing.shard_key_field)
        return Routed({self.shard_key(partition): points})

    def shard_key(self, partition: str | None) -> str | None:
        """The shard key of all points from `partition`; None where there is none, or where each point has its own."""
        if not self._custom or self._routing.shard_key_field is not None:
            return None
        if self._routing.shard_key is not None:
            return self._routing.shard_key
        return partition


def _by_field(points: Sequence[bytes], name: str) -> Routed:
    groups: dict[str | None, list[bytes]] = {}
    strays = []
    for point in points:
        value = payload_value(point, name)
        key = None if value is None else _shard_key(value)
        if key is not None:
            groups.setdefault(shard_key_text(key), []).append(point)
            continue
        found = "is missing" if value is None else f"holds {_shown(value)}"
        needed = "a non-empty string or a non-negative integer"
        strays.append((point, f"its payload field {name!r} {found}; --target-shard-key-field needs {needed}"))
    return Routed({**groups}, strays)


def _shard_key(value: api.Value) -> api.ShardKey | None:
    if value.HasField("string_value") and value.string_value:
        return api.ShardKey(keyword=value.string_value)
    if value.HasField("integer_value") and value.integer_value >= 0:
        return api.ShardKey(number=value.integer_value)
    return None


def _shown(value: Any) -> str:
    return " ".join(str(value).split())[:80] or "nothing"
