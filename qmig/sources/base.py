"""Where points come from. A source answers: what is there, where can it be cut, read from this key, which key
comes after. One more source is one module here and one line in `SOURCES`."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from qmig.qdrant import messages as api
from qmig.qdrant.batch import Batch, Boundary, KeyPage
from qmig.qdrant.shard_keys import ShardKeyPlacement
from qmig.rpc.connection import Connection


@dataclass(frozen=True)
class RangeCount:
    """What a range holds now: keys that the source gives, and rows that it counts and gives to nobody."""

    readable: int
    unreadable: int = 0


Answer_co = TypeVar("Answer_co", covariant=True)


class Pending(Protocol[Answer_co]):
    """A read under way."""

    def wait(self, seconds: float) -> bool:
        """Wait for the answer, at most so long."""

    def result(self) -> Answer_co:
        """Wait for the answer; TransientError or TerminalError where it failed."""


class KeySpace(Protocol):
    """The keys of a collection, as a plan cuts them into chunks.

    A partition, planned and read by itself, is a shard key as text, a partition's name or None.
    """

    def partitions(self) -> Sequence[str | None]:
        """List the partitions, empty ones too."""

    def count(self, partition: str | None, exact: bool) -> int:
        """Count the points of a partition; an estimate unless `exact`."""

    def boundaries(self, partition: str | None, pieces: int, start: str | None) -> Iterator[Boundary]:
        """Yield ascending keys above `start` that cut the partition into about `pieces` ranges of equal size.

        Each is yielded as soon as it is found.
        """


class Source(KeySpace, Protocol):
    """One source collection."""

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
