"""Name the values of the servers' enums."""

from google.protobuf.descriptor import EnumDescriptor


def enum_name(enum: EnumDescriptor, value: int) -> str:
    """The name of an enum's value; its number where only a newer server knows it."""
    known = enum.values_by_number.get(value)
    return known.name if known else str(value)
