"""Refusals: gRPC status codes and texts in the words of a real Qdrant server."""

from __future__ import annotations

import grpc
from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet


class Refusal(Exception):
    """A gRPC status other than OK, as the answer to a request."""

    def __init__(self, code: grpc.StatusCode, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


def invalid(text: str) -> Refusal:
    return Refusal(grpc.StatusCode.INVALID_ARGUMENT, text)


def bad_input(text: str) -> Refusal:
    return invalid(f"Wrong input: {text}")


def bad_request(text: str) -> Refusal:
    return invalid(f"Bad request: {text}")


def not_found(text: str) -> Refusal:
    return Refusal(grpc.StatusCode.NOT_FOUND, f"Not found: {text}")


def already_exists(text: str) -> Refusal:
    return Refusal(grpc.StatusCode.ALREADY_EXISTS, f"Wrong input: {text}")


def no_space() -> Refusal:
    text = "Service internal error: No space left on device: WAL buffer size exceeds available disk space"
    return Refusal(grpc.StatusCode.INTERNAL, text)


def unserved(what: str) -> Refusal:
    return Refusal(grpc.StatusCode.UNIMPLEMENTED, f"the embedded Qdrant does not serve {what}")


def from_engine(error: Exception) -> Refusal:
    """The status that a real server returns for an error of the storage engine."""
    text = str(error)
    if text == "Wrong usage of sparse vectors":
        return bad_input("Conversion between sparse and regular vectors failed")
    if text == "Wrong usage of multi vectors":
        return bad_input("Conversion between multi and regular vectors failed")
    if text.startswith("No point with id "):
        return not_found(f"{text} found")
    if text.startswith("Service runtime error: "):
        return Refusal(grpc.StatusCode.INTERNAL, "Service internal error: " + text.partition(": ")[2])
    return bad_input(text)


def from_conversion(error: ValueError) -> Refusal:
    """The status for a value that the engine's types do not accept."""
    text = str(error).partition("\n")[0]
    if text.startswith("invalid JSON path "):
        return invalid(f"Invalid json path: '{text.removeprefix('invalid JSON path ')}'")
    return bad_request(text)


def require_served(message: Message, call: str, *served: str) -> None:
    """Refuse `message` if it sets a field that is not in `served`."""
    for field, _ in message.ListFields():
        if field.name not in served:
            raise unserved(f"`{field.name}` in {call}")
    unknown = UnknownFieldSet(message)
    if len(unknown):
        raise unserved(f"field {unknown[0].field_number} in {call}")
