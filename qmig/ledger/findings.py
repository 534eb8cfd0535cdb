"""The options and the findings of a verification."""

from dataclasses import asdict, dataclass, field
from enum import StrEnum

from qmig.ledger.fields import Count, Fraction

#: Ids that are kept of each kind of finding.
MAX_IDS = 20


class FindingKind(StrEnum):
    """The ways in which a point can be wrong."""

    #: The source has the point, the target does not.
    MISSING = "missing"
    #: Both have the point, with different contents.
    DIFFERENT = "different"
    #: The target has the point, the source does not.
    EXTRA = "extra"
    #: The point cannot be copied as it is.
    REJECTED = "rejected"


@dataclass(frozen=True)
class Checks:
    """The options of a verification."""

    #: Fraction of the points to compare; 1.0 is all of them.
    share: Fraction = 1.0
    #: Look for points of the target that the source does not have.
    extra: bool = False
    #: Copy missing and different points again.
    repair: bool = False


@dataclass
class Findings:
    """Points that differ between source and target, in a chunk or in all chunks together."""

    #: Points of the source that the target does not have.
    missing: Count = 0
    #: Points with other contents in the target than in the source.
    different: Count = 0
    #: Points of the target that the source does not have.
    extra: Count = 0
    #: Points that are not in the target because they cannot be copied.
    rejected: Count = 0
    #: Missing and different points that were copied again.
    repaired: Count = 0
    #: Points whose contents in the source changed during the comparison.
    changing: Count = 0
    #: Points that were deleted from the source during the comparison.
    deleted: Count = 0
    #: Points that the source has more than were copied, in the chunks with missing points.
    surplus: Count = 0
    #: Missing points that `surplus` explains: they may be new in the source.
    may_be_new: Count = 0
    #: The first ids of each kind.
    ids: dict[FindingKind, list[str]] = field(default_factory=dict)
    #: What differs in the first different point.
    first: str | None = None
    #: Why the first point that could not be repaired was refused.
    refused: str | None = None

    @property
    def unequal(self) -> int:
        """Points that differ and were not repaired."""
        return self.missing + self.different + self.extra - self.repaired

    @property
    def text(self) -> str:
        """The counts that are not zero, such as `2 missing, 1 extra`; empty where nothing differs."""
        kinds = (*FindingKind, "repaired")
        return ", ".join(f"{count:,} {kind}" for kind in kinds if (count := getattr(self, kind)))

    def count(self, kind: FindingKind) -> int:
        """Number of points of this kind."""
        number: int = getattr(self, kind)
        return number

    def note(self, kind: FindingKind, point: str) -> None:
        """Count a point, and keep its id if it is among the first of its kind."""
        setattr(self, kind, self.count(kind) + 1)
        kept = self.ids.setdefault(kind, [])
        if len(kept) < MAX_IDS:
            kept.append(point)

    def add(self, other: "Findings") -> None:
        """Add the findings of another chunk."""
        for name, value in asdict(other).items():
            if isinstance(value, int):
                setattr(self, name, getattr(self, name) + value)
        for kind, points in other.ids.items():
            self.ids[kind] = (self.ids.get(kind, []) + points)[:MAX_IDS]
        self.first = self.first or other.first
        self.refused = self.refused or other.refused
