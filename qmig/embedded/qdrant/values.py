"""Convert payload values, point ids and shard keys between Qdrant's messages and plain Python."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Any
from uuid import UUID

from qmig.embedded.qdrant.refusals import invalid
from qmig.qdrant import messages as api

Id = int | UUID
EngineIds = list[int | UUID | str]
#: A shard key; None for the only shard of a collection without shard keys.
Key = str | int | None


def from_value(value: api.Value) -> Any:
    """Convert `value` to JSON; a whole double stays a float, and a value that is not set is null."""
    return READERS[value.WhichOneof("kind")](value)


def finite(value: api.Value) -> float:
    if not math.isfinite(value.double_value):
        raise invalid("cannot convert to json number")
    return value.double_value


def from_payload(fields: Mapping[str, api.Value]) -> dict[str, Any]:
    return {key: from_value(value) for key, value in fields.items()}


READERS: dict[str | None, Callable[[api.Value], Any]] = {
    None: lambda _: None,
    "null_value": lambda _: None,
    "bool_value": attrgetter("bool_value"),
    "integer_value": attrgetter("integer_value"),
    "double_value": finite,
    "string_value": attrgetter("string_value"),
    "list_value": lambda value: [from_value(item) for item in value.list_value.values],
    "struct_value": lambda value: from_payload(value.struct_value.fields),
}


def from_point_id(message: api.PointId) -> Id:
    kind = message.WhichOneof("point_id_options")
    if kind == "num":
        return message.num
    if kind == "uuid":
        try:
            return UUID(message.uuid)
        except ValueError as error:
            raise invalid(f"Unable to parse UUID: {message.uuid}") from error
    raise invalid("No ID options provided")


def fill_point_id(message: api.PointId, point_id: Any) -> None:
    if isinstance(point_id, int):
        message.num = point_id
    else:
        message.uuid = str(point_id)


def scroll_order(point_id: Any) -> tuple[bool, int]:
    """Sort key for the order of a scroll: unsigned integers, then UUIDs by their bytes."""
    if isinstance(point_id, int):
        return False, point_id
    return True, point_id.int


def from_shard_key(message: api.ShardKey) -> str | int:
    kind = message.WhichOneof("key")
    if kind == "keyword":
        return message.keyword
    if kind == "number":
        return message.number
    raise invalid("Shard key is not specified")


def to_shard_key(key: str | int) -> api.ShardKey:
    return api.ShardKey(keyword=key) if isinstance(key, str) else api.ShardKey(number=key)


def quoted(key: Key) -> str:
    """Write a shard key as a server's error messages do."""
    return f'"{key}"' if isinstance(key, str) else str(key)
