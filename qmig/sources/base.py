"""The protocol of a source: the methods that a migration calls to read its collection."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from qmig.qdrant import messages as api
from qmig.qdrant.batch import Batch, Boundary, IdPage, KeyPage
from qmig.qdrant.server import Server
from qmig.qdrant.shard_keys import ShardKeyPlacement


@dataclass(frozen=True)
class Description:
    """The product, the version and the settings of a source, before any point is read."""

    #: What people call the product, such as "Qdrant".
    product: str
    #: The server's version, such as "1.18.3"; empty where it tells none.
    version: str
    #: Settings of a Qdrant collection that can hold the source's points, payload indexes included.
    info: api.CollectionInfo
    #: Shard keys of the target that the source's partitions go to; empty where its partitions are not shard keys.
    shard_keys: Sequence[ShardKeyPlacement] = ()


Answer_co = TypeVar("Answer_co", covariant=True)


class Pending(Protocol[Answer_co]):
    """A read under way."""

    def wait(self, seconds: float) -> bool:
        """Wait for the answer, at most `seconds`; whether it has arrived."""

    def result(self) -> Answer_co:
        """Wait for the answer; TransientError or TerminalError where the read failed."""


class KeySpace(Protocol):
    """The keys of a collection, as a plan cuts them into chunks.

    A key is text, and the source alone knows the order of its keys. A partition is a name, or a shard key as JSON
    text; None is the whole collection.
    """

    def partitions(self) -> Sequence[str | None]:
        """List the partitions, empty ones too; [None] where the collection is read as a whole."""
        return [None]

    def count(self, partition: str | None, exact: bool) -> int:
        """Count the points of a partition; an estimate unless `exact`."""
        raise NotImplementedError

    def boundaries(self, partition: str | None, pieces: int, start: str | None) -> Iterator[Boundary]:
        """Yield ascending keys above `start` that cut the partition into about `pieces` ranges of equal size.

        Each is yielded as soon as it is found, so that its chunk can be queued.
        """
        raise NotImplementedError


class Source(KeySpace, Protocol):
    """One source collection. A subclass gets the answers of a source that needs nothing special."""

    # Which collection it is

    def own_name(self) -> str | None:
        """Resolve an alias to the collection's own name; None where the source was named by that.

        TerminalError where no server answers. After an alias the source is opened again by the own name.
        """
        return None

    def identity(self) -> dict[str, Any]:
        """What identifies the collection beside its name, for the ledger: ids, or settings that never change."""
        return {}

    def check_unchanged(self, recorded: Mapping[str, Any]) -> None:  # noqa: ARG002
        """TerminalError unless the collection is the one whose `identity` was recorded, and can be read whole.

        Called before a migration is resumed, at its end, and at both ends of a verification.
        """
        return

    def is_on(self, target: Server) -> bool:  # noqa: ARG002
        """Whether the source is a collection of the target's server, perhaps by another name of the server."""
        return False

    # Before the copy

    def describe(self) -> Description:
        """Describe the server and the collection.

        TerminalError where no server answers, or where the collection does not exist or cannot be read.
        """
        raise NotImplementedError

    def freeze_settings(self, recorded: Mapping[str, Any] | None) -> dict[str, Any]:  # noqa: ARG002
        """Fix the settings that must not change during the migration, and return them for the ledger.

        `recorded` are those of a migration that is resumed. UsageError where the command's options contradict them.
        """
        return {}

    def notices(self) -> list[str]:
        """Describe what is not copied, or not as it is; one line each. Called after `freeze_settings`."""
        return []

    def verification_notices(self) -> list[str]:
        """Describe what a comparison of both ends cannot tell; one line each."""
        return []

    def describe_mapping(self) -> list[str]:
        """Lines for `--dry-run`: how each field is mapped, and one converted row; empty where nothing changes."""
        return []

    def count_duplicate_ids(self) -> int:
        """Count the points whose id occurs in more than one partition, which a target without them cannot hold."""
        return 0

    # Reading

    def start_read(self, partition: str | None, start: str | None, end: str | None, limit: int) -> Pending[Batch]:
        """Begin to read at most `limit` points of `[start, end)`, in the order of their keys."""
        raise NotImplementedError

    def start_keys(self, partition: str | None, start: str | None, end: str | None, limit: int) -> Pending[KeyPage]:
        """Begin to read about `limit` keys of `[start, end)` in their order, and nothing else."""
        raise NotImplementedError

    def start_points(self, partition: str | None, keys: Sequence[str]) -> Pending[Batch]:
        """Begin to read the points with these keys; those that do not exist are left out, and no order is kept."""
        raise NotImplementedError

    # Comparing

    @property
    def key_field(self) -> str | None:
        """The payload field that holds a point's key; None where the point's id is the key."""
        return None

    def key_of(self, point: bytes) -> str:
        """The key of a serialized `PointStruct` of this source."""
        raise NotImplementedError

    def start_present(self, partition: str | None, points: Sequence[bytes]) -> Pending[set[bytes]]:
        """Begin to ask which of these points of the target come from the source; the answer holds their raw ids.

        `points` have their id and, if the source has one, their `key_field`; `partition` is None where it is unknown.
        """
        raise NotImplementedError

    def read_ids(
        self, partition: str | None, start: str | None, end: str | None, limit: int, others: Sequence[str | None] = ()
    ) -> IdPage:
        """Read about `limit` of the ids that the points of `[start, end)` have in the target, and wait for them.

        `others` are partitions whose points with the same ids are to be noted in the page.
        """
        raise NotImplementedError

    def close(self) -> None:
        """Close the connections."""
