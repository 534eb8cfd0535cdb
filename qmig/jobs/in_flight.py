"""A read and a write of a chunk under way."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from qmig.qdrant.batch import InvalidRow
from qmig.qdrant.writer import Upsert
from qmig.sources.base import Pending

Answer = TypeVar("Answer")


@dataclass
class Read(Generic[Answer]):
    """A read that can be started again after a transient error."""

    start: Callable[[], Pending[Answer]]
    #: The read under way; None once its answer was taken.
    pending: Pending[Answer] | None


@dataclass(frozen=True)
class Write:
    """A batch on its way into the target. Its points are in the requests alone, to save memory."""

    #: Points and invalid rows in the batch.
    read: int
    #: The key after the batch; None at the end of the chunk.
    next_key: str | None
    #: One request for each shard key.
    upserts: Sequence[Upsert]
    #: Rows of the source that are no valid points.
    invalid_rows: Sequence[InvalidRow]
    #: Points that belong to no shard key, each with the reason.
    unroutable: Sequence[tuple[bytes, str]]
    #: The ids in the batch, one after another.
    ids: bytes

    @property
    def sent(self) -> int:
        """The number of points in the upserts."""
        return sum(upsert.points for upsert in self.upserts)

    @property
    def unsent(self) -> int:
        """The number of points and rows that cannot be sent."""
        return len(self.invalid_rows) + len(self.unroutable)

    @property
    def bytes(self) -> int:
        """The size of the upserts."""
        return sum(len(upsert.request) for upsert in self.upserts)
