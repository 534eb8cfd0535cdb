"""What a migration from Milvus says beyond its ends; it stands in the definition, and so in the ledger."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

# Consistency levels on the wire.
STRONG, CUSTOMIZED = 0, 4


@dataclass(frozen=True)
class Settings:
    """Choices about fields, and the moment that all reads see at least.

    `distances` are by vector field. `moment` is a timestamp of Milvus (milliseconds since the epoch << 18) for
    every read; 0 reads with Strong consistency, None is not decided yet.
    """

    skip_fields: tuple[str, ...] = ()
    distances: Mapping[str, str] = field(default_factory=dict)
    id_field: str | None = None
    partition_field: str | None = None
    moment: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """As `migration.Source.settings` holds it."""
        return {**asdict(self), "skip_fields": list(self.skip_fields), "distances": dict(self.distances)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Settings":
        return cls(**{**data, "skip_fields": tuple(data.get("skip_fields", ()))})
