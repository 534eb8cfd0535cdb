"""The result of the checks at a migration's end: the ids that were compared, and the counts of both ends."""

from dataclasses import dataclass, field

from qmig.ledger.fields import Count

#: Key ranges that are named; further ones are counted.
MAX_RANGES = 10


@dataclass(frozen=True)
class Tally:
    """A number of points, and the key ranges that have them."""

    #: How many points there are, in all ranges together.
    points: Count = 0
    #: The first ranges, each with its number of points.
    ranges: list[str] = field(default_factory=list)
    #: Further ranges.
    more: Count = 0

    def plus(self, points: int, line: str) -> "Tally":
        """This tally with the points of one more range, which `line` describes; the same if there are none."""
        if not points:
            return self
        if len(self.ranges) == MAX_RANGES:
            return Tally(self.points + points, self.ranges, self.more + 1)
        return Tally(self.points + points, [*self.ranges, line], self.more)

    @property
    def text(self) -> str:
        """The ranges for people."""
        return "; ".join([*self.ranges, *([f"and {self.more:,} more ranges"] if self.more else [])])


@dataclass(frozen=True)
class ChunkIds:
    """The ids that the source has in one chunk now, as far as they were compared."""

    #: The next key to read; None is the chunk's start.
    key: str | None = None
    #: Ids that were read.
    ids: Count = 0
    #: Their digest (see `qmig.qdrant.ids`).
    digest: Count = 0
    #: Those that the target lacks, rejects aside.
    absent: Count = 0
    #: Those of points that could not be copied.
    rejected: Count = 0
    #: Those that a later partition has too.
    repeated: Count = 0
    #: Rows that the source counts and returns in no query.
    unreadable: Count = 0


@dataclass(frozen=True)
class IdComparison:
    """The ids of the source, looked up in the target. It is recorded as it goes, and goes on from there."""

    #: The chunk that is compared next.
    chunk: Count = 0
    #: The part of that chunk that was compared.
    part: ChunkIds = ChunkIds()
    #: Ids of the source that were compared.
    ids: Count = 0
    #: Those of points that could not be copied.
    rejected: Count = 0
    #: Those that the target lacks although their chunks have the same ids as when they were copied: lost points.
    lost: Tally = Tally()
    #: Those that the target lacks in chunks whose ids have changed: they may be new in the source.
    uncopied: Tally = Tally()
    #: Those that another partition has too.
    repeated: Count = 0
    #: Rows that the source counts and returns in no query.
    unreadable: Tally = Tally()
    #: Chunks whose ids have changed since they were copied, each with the numbers of ids; `points` counts the chunks.
    changed: Tally = Tally()
    #: The partitions of these chunks.
    changed_partitions: list[str | None] = field(default_factory=list)

    @property
    def ids_so_far(self) -> int:
        """Ids that were compared, with those of the chunk that is being compared."""
        return self.ids + self.part.ids


@dataclass
class Reconciliation:
    """Result of the checks at a migration's end; `qmig.ledger.verdict` says what it means."""

    #: Points read from the source.
    read: Count = 0
    #: Points that the target refused, or that no point can be made of.
    rejected: Count = 0
    #: Points that the source has now.
    source_now: Count = 0
    #: Points that the target has now.
    target_now: Count = 0
    #: Points that the target had before the migration.
    target_before: Count = 0
    #: The ids of the source, looked up in the target.
    ids: IdComparison = field(default_factory=IdComparison)
    #: Points that another point with the same id has replaced in the target.
    replaced: Count = 0
    #: Points in partitions that the plan does not have: none of them was read.
    unread: Count = 0
    #: These partitions.
    unread_partitions: list[str] = field(default_factory=list)
    #: Whether ids that are new in the source may be in the target without having been copied.
    unclear: bool = False
    #: Settings of both ends that have changed since the migration began, one line each.
    changes: list[str] = field(default_factory=list)
    #: Whether the migration was done before, so that this run copied nothing.
    again: bool = False
    #: Lost points: the migration fails.
    errors: list[str] = field(default_factory=list)
    #: What the user is told beside the result.
    notices: list[str] = field(default_factory=list)
