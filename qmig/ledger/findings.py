"""What a verification is asked to look at, and what it found."""

from dataclasses import asdict, dataclass, field
from typing import Any

# Ids that are kept of each kind.
MAX_IDS = 20

MISSING, DIFFERENT, EXTRA, REJECTED = "missing", "different", "extra", "rejected"


@dataclass(frozen=True)
class Checks:
    """`share` of the points, 1.0 is all of them; `extra` points of the target as well; `repair` what is not there."""

    share: float = 1.0
    extra: bool = False
    repair: bool = False

    @classmethod
    def from_dict(cls, recorded: dict[str, Any] | None) -> "Checks":
        return cls(**(recorded or {}))

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass
class Findings:
    """Points that are not in the target as they are in the source, in a chunk or in all of them.

    `repaired` are those of the missing and different that were brought over. `rejected` are missing because they
    could not be copied. When looked at again, `changing` had another content in the source, and `deleted` were gone
    from it. `surplus` are points more than were copied, in the chunks where some are missing, and `may_be_new` as
    many of the missing as that explains. `ids` are the first by kind, `first` what differs in the first different,
    and `refused` why the first could not be repaired.
    """

    missing: int = 0
    different: int = 0
    extra: int = 0
    rejected: int = 0
    repaired: int = 0
    changing: int = 0
    deleted: int = 0
    surplus: int = 0
    may_be_new: int = 0
    ids: dict[str, list[str]] = field(default_factory=dict)
    first: str | None = None
    refused: str | None = None

    @classmethod
    def from_dict(cls, recorded: dict[str, Any] | None) -> "Findings":
        return cls(**(recorded or {}))

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def unequal(self) -> int:
        """Points that are not as they should be, and were not brought over."""
        return self.missing + self.different + self.extra - self.repaired

    @property
    def text(self) -> str:
        """The counts in a few words; nothing where there is nothing."""
        kinds = (MISSING, DIFFERENT, EXTRA, REJECTED, "repaired")
        return ", ".join(f"{count:,} {kind}" for kind in kinds if (count := getattr(self, kind)))

    def note(self, kind: str, point: str) -> None:
        """Count a point under its kind, and keep the first ids."""
        setattr(self, kind, getattr(self, kind) + 1)
        kept = self.ids.setdefault(kind, [])
        if len(kept) < MAX_IDS:
            kept.append(point)

    def add(self, other: "Findings") -> None:
        """Add another chunk's."""
        for name, value in asdict(other).items():
            if isinstance(value, int):
                setattr(self, name, getattr(self, name) + value)
        for kind, points in other.ids.items():
            self.ids[kind] = (self.ids.get(kind, []) + points)[:MAX_IDS]
        self.first = self.first or other.first
        self.refused = self.refused or other.refused
