"""Point ids and shard keys: as messages, as text in the ledger, and in the order of a scroll."""

import json
import uuid
from functools import total_ordering
from typing import Any

from qmig.errors import UsageError
from qmig.qdrant import messages as api

#: The largest number that can be a point id.
MAX_NUMBER = 2**64 - 1


@total_ordering
class PointKey:
    """A point id, ordered as a scroll orders it: unsigned integers, then UUIDs by their bytes (measured on 1.18)."""

    __slots__ = ("_order", "text")

    def __init__(self, text: str) -> None:
        """Parse `text`, decimal digits or a UUID; ValueError for anything else."""
        self.text = text
        if text.isascii() and text.isdigit():
            if int(text) > MAX_NUMBER:
                raise ValueError(f"point id {text} is larger than 2^64-1")
            self._order = (0, int(text))
        else:
            self._order = (1, uuid.UUID(text).int)

    @classmethod
    def of(cls, point_id: api.PointId) -> "PointKey":
        return cls(point_id.uuid if point_id.HasField("uuid") else str(point_id.num))

    def to_message(self) -> api.PointId:
        return api.PointId(num=self._order[1]) if self._order[0] == 0 else api.PointId(uuid=self.text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PointKey) and self._order == other._order

    def __lt__(self, other: "PointKey") -> bool:
        return self._order < other._order

    def __hash__(self) -> int:
        return hash(self._order)

    def __repr__(self) -> str:
        return f"PointKey({self.text})"


def shard_key_text(key: api.ShardKey | None) -> str | None:
    """Write a shard key as JSON: `"eu"` for a string, `7` for a number; None for no shard key."""
    if key is None:
        return None
    value: Any = key.keyword if key.HasField("keyword") else key.number
    return json.dumps(value, ensure_ascii=False)


def shard_key_option(text: str | None, option: str) -> str | None:
    """The shard key that an option names, as JSON: digits are a number, and so text of digits alone stands in quotes.

    UsageError names `option`.
    """
    if text is None:
        return None
    if text.isascii() and text.isdigit() and (text == "0" or not text.startswith("0")):
        if int(text) > MAX_NUMBER:
            raise UsageError(f"{option} {text}: a number is at most {MAX_NUMBER}; put text into quotes: '\"{text}\"'")
        return text
    value: Any = text
    if text.startswith('"'):
        try:
            value = json.loads(text)
        except ValueError:
            raise UsageError(
                f"{option} {text}: no JSON string; give text that begins with a quote as {json.dumps(text)}"
            ) from None
    if not value:
        raise UsageError(f"{option}: a shard key is not empty; give its name or number")
    return json.dumps(value, ensure_ascii=False)


def shard_key_of(text: str | None) -> api.ShardKey | None:
    """Parse what `shard_key_text` wrote."""
    if text is None:
        return None
    value = json.loads(text)
    return api.ShardKey(keyword=value) if isinstance(value, str) else api.ShardKey(number=value)


def shard_key_selector(text: str | None) -> api.ShardKeySelector | None:
    """The selector of the shard key that `text` names; None for no shard key."""
    key = shard_key_of(text)
    return None if key is None else api.ShardKeySelector(shard_keys=[key])
