"""Where points come from. A source answers: what is there, where can it be cut, read from this key, which key
comes after. One more source is one module here and one line in `SOURCES`."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from qmig.qdrant import messages as api
from qmig.qdrant.shard_keys import ShardKeyPlacement
from qmig.rpc.connection import Connection


@dataclass(frozen=True)
class InvalidRow:
    """What the source has and the target cannot have: its key, the id that the point has or would have, and why."""

    key: str
    point: str
    reason: str


@dataclass(frozen=True)
class Batch:
    """Points as serialized `PointStruct`s in key order, and the key after them; None is the range's end.

    `unfit` are rows of the same range.
    """

    points: list[bytes]
    next_key: str | None
    invalid_rows: tuple[InvalidRow, ...] = ()


@dataclass(frozen=True)
class Boundary:
    """A key at which a part is cut, and about how many points lie before it, from the boundary before."""

    key: str
    points: int


@dataclass(frozen=True)
class RangeCount:
    """What a range holds now: keys that the source gives, and rows that it counts and gives to nobody."""

    readable: int
    unreadable: int = 0


@dataclass(frozen=True)
class KeyPage:
    """Keys in their order, and the key after them; None is the range's end."""

    keys: list[str]
    next_key: str | None


Answer_co = TypeVar("Answer_co", covariant=True)


class Pending(Protocol[Answer_co]):
    """A read under way."""

    def wait(self, seconds: float) -> bool:
        """Wait for the answer, at most so long."""

    def result(self) -> Answer_co:
        """Wait for the answer; TransientError or TerminalError where it failed."""


class Source(Protocol):
    """One source collection. A part, planned and read by itself, is a shard key as text, a partition or None."""

    @property
    def server(self) -> Connection:
        """The server that it is read from."""

    def identify(self) -> tuple[str, str]:
        """Product and version of the server, such as ("Qdrant", "1.18.3"); TerminalError where none answers."""

    def info(self) -> api.CollectionInfo:
        """The settings of a Qdrant collection that holds the source's points, payload indexes too.

        TerminalError where the collection is not there or cannot be read.
        """

    def notices(self) -> list[str]:
        """What of the collection does not come along, or comes along otherwise; one line each."""

    def describe_mapping(self) -> list[str]:
        """What a dry run tells of what becomes of what, with one point; nothing where a point stays as it is."""

    def freeze_settings(self, recorded: Mapping[str, Any] | None) -> dict[str, Any]:
        """Decide what holds for the whole migration, and read so from now on; the source's settings to record.

        `recorded` are those of a migration that goes on. UsageError where they contradict what is asked for now.
        """

    def shard_keys(self) -> list[ShardKeyPlacement]:
        """The shard keys of the target that the source's parts go to; none where the parts are not shard keys."""

    def count_duplicate_ids(self) -> int:
        """Points whose id another part has as well: a target that merges the parts cannot hold them."""

    def partitions(self) -> Sequence[str | None]:
        """The parts, empty ones too."""

    def count(self, partition: str | None, exact: bool) -> int:
        """Points in the part."""

    def boundaries(self, partition: str | None, pieces: int, start: str | None) -> Iterator[Boundary]:
        """Ascending keys above `start` that cut the part into about `pieces` of about the same size.

        Each is given as soon as it is found.
        """

    def start_read(self, partition: str | None, start: str | None, end: str | None, limit: int) -> Pending[Batch]:
        """Begin to read at most `limit` points of `[start, end)` from `start` on, in key order."""

    def start_keys(self, partition: str | None, start: str | None, end: str | None, limit: int) -> Pending[KeyPage]:
        """Begin to read about `limit` keys of `[start, end)` from `start` on, and nothing else."""

    def start_points(self, partition: str | None, keys: Sequence[str]) -> Pending[Batch]:
        """Begin to read the points with these keys, as far as there are any; in no order."""

    @property
    def key_field(self) -> str | None:
        """The payload field in which a point keeps its key; None where its id is the key."""

    def start_present(self, partition: str | None, points: Sequence[bytes]) -> Pending[set[bytes]]:
        """Begin to ask which of a target's points are the source's, by their ids: the raw ones that are.

        `points` have their id and, if there is one, their `key_field`; `partition` is None where it is not known.
        """

    def key_of(self, point: bytes) -> str:
        """The key of a serialized `PointStruct` of this source."""

    def point_ids(self, partition: str | None, start: str | None, end: str | None) -> set[str]:
        """The ids of all points in `[start, end)`, as the target has them."""

    def count_ranges(
        self, partition: str | None, ranges: Sequence[tuple[str | None, str | None]], read: Sequence[int]
    ) -> list[RangeCount] | None:
        """What each `[start, end)` of the part holds now, of which so many points were read.

        The keys of a range are looked at where the source counts more or fewer; None where it counts no ranges.
        """

    def close(self) -> None:
        """Close the connections."""
