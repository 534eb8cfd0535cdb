"""Convert filters from Qdrant's messages to the storage engine."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, cast

import numpy as np
import qdrant_edge as edge

from qmig.embedded.qdrant.refusals import invalid, require_served, unserved
from qmig.embedded.qdrant.values import from_point_id
from qmig.qdrant import messages as api


def to_filter(message: api.Filter) -> edge.Filter:
    require_served(message, "a filter", "must", "should", "must_not", "min_should")
    min_should = None
    if message.HasField("min_should"):
        min_should = edge.MinShould(to_conditions(message.min_should.conditions), message.min_should.min_count)
    return edge.Filter(
        must=to_conditions(message.must) or None,
        should=to_conditions(message.should) or None,
        must_not=to_conditions(message.must_not) or None,
        min_should=min_should,
    )


def optional_filter(message: Any, field: str = "filter") -> edge.Filter | None:
    """Convert the filter of a request; None where it has none."""
    return to_filter(getattr(message, field)) if message.HasField(field) else None


def to_conditions(messages: Iterable[api.Condition]) -> list[Any]:
    """Convert conditions; empty ones are left out, as a real server does."""
    return [to_condition(message) for message in messages if message.ByteSize()]


def to_condition(message: api.Condition) -> Any:
    kind = message.WhichOneof("condition_one_of")
    if kind not in CONDITIONS:
        raise unserved(f"the condition `{kind}` in a filter")
    return CONDITIONS[kind](getattr(message, str(kind)))


def to_field_condition(message: api.FieldCondition) -> edge.FieldCondition:
    parts: dict[str, Any] = {}
    for field, value in message.ListFields():
        if field.name == "match":
            parts["match"] = to_match(value)
        elif field.name == "range":
            parts["range"] = edge.RangeFloat(**bounds(value))
        elif field.name == "datetime_range":
            parts["range"] = edge.RangeDateTime(**{k: rfc3339(v) for k, v in bounds(value).items()})
        elif field.name == "values_count":
            parts["values_count"] = edge.ValuesCount(**bounds(value))
        elif field.name in ("is_empty", "is_null"):
            parts[field.name] = value
        elif field.name != "key":
            raise unserved(f"the condition `{field.name}` in a filter")
    if not parts:
        raise invalid("Validation error in body: [filter: At least one field condition must be specified]")
    return edge.FieldCondition(message.key, **parts)


def bounds(message: Any) -> dict[str, Any]:
    return {field.name: value for field, value in message.ListFields()}


def rfc3339(message: Any) -> str:
    """Write a protobuf timestamp as text, to the nanosecond."""
    whole = datetime.fromtimestamp(message.seconds, UTC).replace(tzinfo=None)
    return f"{whole.isoformat()}.{message.nanos:09}Z"


def to_match(message: api.Match) -> Any:
    kind = message.WhichOneof("match_value")
    if kind not in MATCHES:
        raise unserved(f"the match `{kind}` in a filter")
    return MATCHES[kind](getattr(message, str(kind)))


CONDITIONS: dict[str | None, Callable[[Any], Any]] = {
    "field": to_field_condition,
    "filter": to_filter,
    "has_id": lambda message: edge.HasIdCondition({from_point_id(point_id) for point_id in message.has_id}),
    "is_empty": lambda message: edge.IsEmptyCondition(message.key),
    "is_null": lambda message: edge.IsNullCondition(message.key),
    "has_vector": lambda message: edge.HasVectorCondition(message.has_vector),
    "nested": lambda message: edge.NestedCondition(message.key, to_filter(message.filter)),
}

MATCHES: dict[str | None, Callable[[Any], Any]] = {
    "keyword": edge.MatchValue,
    "integer": edge.MatchValue,
    # The engine reads a Python bool as the integer 0 or 1, and only numpy's as a bool.
    "boolean": lambda value: edge.MatchValue(cast(bool, np.bool_(value))),
    "keywords": lambda message: edge.MatchAny(list(message.strings)),
    "integers": lambda message: edge.MatchAny(list(message.integers)),
    "except_keywords": lambda message: edge.MatchExcept(list(message.strings)),
    "except_integers": lambda message: edge.MatchExcept(list(message.integers)),
    "text": edge.MatchText,
    "text_any": edge.MatchTextAny,
    "phrase": edge.MatchPhrase,
}
