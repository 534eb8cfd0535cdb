"""Filters: from Qdrant's messages to the storage engine."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import numpy as np
import qdrant_edge as edge
from qdrant_client import grpc as api

from qmig.embedded.qdrant.refusals import invalid, require_served, unserved
from qmig.embedded.qdrant.values import from_point_id


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
    """The filter of a request, or `None` where it has none."""
    return to_filter(getattr(message, field)) if message.HasField(field) else None


def to_conditions(messages: Iterable[api.Condition]) -> list[Any]:
    """The conditions; like a real server's, without those that say nothing."""
    return [to_condition(message) for message in messages if message.ByteSize()]


def to_condition(message: api.Condition) -> Any:
    kind = message.WhichOneof("condition_one_of")
    if kind == "field":
        return to_field_condition(message.field)
    if kind == "has_id":
        return edge.HasIdCondition({from_point_id(point_id) for point_id in message.has_id.has_id})
    if kind == "filter":
        return to_filter(message.filter)
    if kind == "is_empty":
        return edge.IsEmptyCondition(message.is_empty.key)
    if kind == "is_null":
        return edge.IsNullCondition(message.is_null.key)
    if kind == "has_vector":
        return edge.HasVectorCondition(message.has_vector.has_vector)
    if kind == "nested":
        return edge.NestedCondition(message.nested.key, to_filter(message.nested.filter))
    raise unserved(f"the condition `{kind}` in a filter")


def to_field_condition(message: api.FieldCondition) -> edge.FieldCondition:
    parts: dict[str, Any] = {}
    for field, value in message.ListFields():
        if field.name == "key":
            continue
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
        else:
            raise unserved(f"the condition `{field.name}` in a filter")
    if not parts:
        raise invalid("Validation error in body: [filter: At least one field condition must be specified]")
    return edge.FieldCondition(message.key, **parts)


def bounds(message: Any) -> dict[str, Any]:
    return {field.name: value for field, value in message.ListFields()}


def rfc3339(message: Any) -> str:
    """A protobuf timestamp as text, to the nanosecond."""
    whole = datetime.fromtimestamp(message.seconds, UTC).replace(tzinfo=None)
    return f"{whole.isoformat()}.{message.nanos:09}Z"


def to_match(message: api.Match) -> Any:
    kind = message.WhichOneof("match_value")
    if kind == "keyword":
        return edge.MatchValue(message.keyword)
    if kind == "integer":
        return edge.MatchValue(message.integer)
    if kind == "boolean":
        # A plain bool is taken as the integer 0 or 1; numpy's is not.
        return edge.MatchValue(np.bool_(message.boolean))
    if kind == "keywords":
        return edge.MatchAny(list(message.keywords.strings))
    if kind == "integers":
        return edge.MatchAny(list(message.integers.integers))
    if kind == "except_keywords":
        return edge.MatchExcept(list(message.except_keywords.strings))
    if kind == "except_integers":
        return edge.MatchExcept(list(message.except_integers.integers))
    if kind == "text":
        return edge.MatchText(message.text)
    if kind == "text_any":
        return edge.MatchTextAny(message.text_any)
    if kind == "phrase":
        return edge.MatchPhrase(message.phrase)
    raise unserved(f"the match `{kind}` in a filter")
