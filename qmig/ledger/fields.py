"""Types of the fields in the ledger's records, with the values that they allow."""

from typing import Annotated

import msgspec

#: How many there are of something.
Count = Annotated[int, msgspec.Meta(ge=0)]
#: A duration, or a time since 1970; not NaN.
Seconds = Annotated[float, msgspec.Meta(ge=0)]
#: A fraction of a whole, up to 1.0, more than nothing.
Fraction = Annotated[float, msgspec.Meta(gt=0, le=1)]
#: The id of a migration's record, a UUID.
MigrationId = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")]
