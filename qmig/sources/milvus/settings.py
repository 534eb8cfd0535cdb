"""Settings of a migration from Milvus, beyond its ends. The ledger records them."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

#: Consistency levels of Milvus' messages.
STRONG, CUSTOMIZED = 0, 4


@dataclass(frozen=True)
class Settings:
    """The mapping of the fields, and the consistency of reads."""

    #: Fields that are left out.
    skip_fields: tuple[str, ...] = ()
    #: Distances by vector field, where the command gives one.
    distances: Mapping[str, str] = field(default_factory=dict)
    #: Payload key of the primary key; None is the key field's own name.
    id_field: str | None = None
    #: Payload key of the partition's name; None leaves the name out.
    partition_field: str | None = None
    #: Guarantee timestamp of every read, in Milvus' form (milliseconds since the epoch << 18). 0 reads with Strong
    #: consistency; None is not chosen yet.
    guarantee_timestamp: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Convert to what `SourceSpec.settings` holds."""
        return {**asdict(self), "skip_fields": list(self.skip_fields), "distances": dict(self.distances)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Settings":
        return cls(**{**data, "skip_fields": tuple(data.get("skip_fields", ()))})
