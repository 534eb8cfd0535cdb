"""The results of reads: points, keys and boundaries."""

from collections.abc import Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class InvalidRow:
    """A source row that cannot be stored as a Qdrant point."""

    #: The row's key in the source.
    key: str
    #: The id that its point has, or would have.
    point: str
    #: Why it cannot be stored, for people.
    reason: str
    #: Number of points of its batch whose keys come before its own.
    position: int = 0


@dataclass(frozen=True)
class Batch:
    """Points that were read from one range of keys."""

    #: Serialized `PointStruct`s, in the order of their keys where a range was read.
    points: list[bytes]
    #: The key to read on from; None at the end of the range.
    next_key: str | None
    #: Rows of the same range that cannot be stored as points.
    invalid_rows: tuple[InvalidRow, ...] = ()

    @classmethod
    def of(cls, rows: Sequence[bytes | InvalidRow], next_key: str | None) -> "Batch":
        """Build a batch from rows in their order: points and invalid rows apart."""
        points: list[bytes] = []
        invalid_rows: list[InvalidRow] = []
        for row in rows:
            if isinstance(row, InvalidRow):
                invalid_rows.append(replace(row, position=len(points)))
            else:
                points.append(row)
        return cls(points, next_key, tuple(invalid_rows))


@dataclass(frozen=True)
class KeyPage:
    """Keys that were read from one range."""

    #: The keys in their order.
    keys: list[str]
    #: The key to read on from; None at the end of the range.
    next_key: str | None


@dataclass(frozen=True)
class Boundary:
    """A key between two chunks of a partition."""

    key: str
    #: Estimated number of points between the boundary before and this one.
    points: int


@dataclass(frozen=True)
class IdPage:
    """Ids that were read from one range, as serialized `PointId`s: what the target has the points under."""

    #: The ids in the order of their keys.
    ids: list[bytes]
    #: The key to read on from; None at the end of the range.
    next_key: str | None
    #: Rows between these keys that the server counts and returns in no query, such as repeats of a key.
    unreadable: int = 0
    #: Those of `ids` that one of the partitions that were asked about has too.
    repeated: frozenset[bytes] = frozenset()
