"""Convert payloads between Qdrant's `Value` messages and plain Python."""

from collections.abc import Mapping
from typing import Any

from qmig.qdrant import messages as api

MAX_INT64 = 2**63 - 1


def to_payload(fields: Mapping[str, Any]) -> dict[str, api.Value]:
    """Convert JSON values to messages; an integer beyond 64 bits becomes a double, as in Qdrant's REST API."""
    payload = {}
    for key, value in fields.items():
        payload[key] = message = api.Value()
        fill_value(message, value)
    return payload


def from_payload(payload: Mapping[str, api.Value]) -> dict[str, Any]:
    """Convert messages to JSON values; a whole double stays a float, and a value that is not set is null."""
    return {key: from_value(value) for key, value in payload.items()}


def from_value(value: api.Value) -> Any:
    """Convert one message to its JSON value."""
    kind = value.WhichOneof("kind")
    if kind is None or kind == "null_value":
        return None
    if kind == "list_value":
        return [from_value(item) for item in value.list_value.values]
    if kind == "struct_value":
        return from_payload(value.struct_value.fields)
    return getattr(value, kind)


def fill_value(message: api.Value, value: Any) -> None:
    """Write a JSON value into `message`."""
    if value is None:
        message.null_value = api.NULL_VALUE
    elif isinstance(value, str):
        message.string_value = value
    elif isinstance(value, bool):
        message.bool_value = value
    elif isinstance(value, int):
        if -MAX_INT64 - 1 <= value <= MAX_INT64:
            message.integer_value = value
        else:
            message.double_value = value
    elif isinstance(value, float):
        message.double_value = value
    elif isinstance(value, list | tuple):
        message.list_value.SetInParent()
        for item in value:
            fill_value(message.list_value.values.add(), item)
    else:
        message.struct_value.SetInParent()
        for key, item in value.items():
            fill_value(message.struct_value.fields[key], item)
