"""JSON from untrusted sources, checked and read into dataclasses."""

from dataclasses import MISSING, fields, is_dataclass
from typing import Any, TypeVar, get_type_hints

from qmig.formatting import shorten

Read = TypeVar("Read")


def read(kind: type[Read], data: object) -> Read:
    """An instance of a dataclass out of JSON that anybody may have made; ValueError where it does not fit."""
    if not isinstance(data, dict):
        raise ValueError(f"{kind.__name__} is {shorten(data)}, not an object")  # noqa: TRY004
    hints = get_type_hints(kind)
    values: dict[str, Any] = {}
    for name, value in data.items():
        if name not in hints:
            raise ValueError(f"{kind.__name__} has no field {shorten(name)}")
        # JSON has one kind of numbers, and Python takes True for one.
        wanted: Any = int | float if hints[name] is float else hints[name]
        if isinstance(wanted, type) and is_dataclass(wanted):
            values[name] = read(wanted, value)
        elif isinstance(value, wanted) and (not isinstance(value, bool) or wanted is bool):
            values[name] = value
        else:
            raise ValueError(f"{kind.__name__}.{name} is {shorten(value)}")
    try:
        return kind(**values)
    except TypeError:
        required = [one.name for one in fields(kind) if MISSING is one.default is one.default_factory]  # type: ignore[arg-type]
        missing = [name for name in required if name not in values]
        raise ValueError(f"{kind.__name__} lacks {', '.join(missing)}") from None
