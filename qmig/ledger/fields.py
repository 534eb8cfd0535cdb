"""Types of the fields in the ledger's records, with the values that they allow."""

import math
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec

from qmig.errors import UsageError
from qmig.qdrant.encoding import MAX_INTEGER, MIN_INTEGER

#: How many there are of something.
Count = Annotated[int, msgspec.Meta(ge=0)]
#: A duration, or a time since 1970; not NaN.
Seconds = Annotated[float, msgspec.Meta(ge=0)]
#: A fraction of a whole, up to 1.0, more than nothing.
Fraction = Annotated[float, msgspec.Meta(gt=0, le=1)]
#: The id of a migration's record, a UUID.
MigrationId = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")]


def check_numbers(fields: Mapping[str, Any]) -> None:
    """Refuse numbers that could not be read again as they are; UsageError with the field's name and the value."""
    for name, value in fields.items():
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, Mapping):
                check_numbers(item)
            elif isinstance(item, int) and not MIN_INTEGER <= item <= MAX_INTEGER:
                raise UsageError(
                    f"{name} is {item}; the ledger can only hold integers from {MIN_INTEGER} to {MAX_INTEGER}"
                )
            elif isinstance(item, float) and not math.isfinite(item):
                raise UsageError(f"{name} is {item}; the ledger can only hold finite numbers")
