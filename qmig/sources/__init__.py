"""Where points come from. A source answers: what is there, where can it be cut, read from this key, which key
comes after. One more source is one module here and one line in `SOURCES`."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Protocol

from qmig.migration import Migration
from qmig.sealing import Credentials
from qmig.target import ShardKeyPlacement
from qmig.wire import api

SOURCES = {"qdrant": "qmig.sources.qdrant"}


@dataclass(frozen=True)
class Batch:
    """Points as serialized `PointStruct`s in key order, and the key after them; None is the range's end."""

    points: list[bytes]
    next_key: str | None


class Read(Protocol):
    """A read under way."""

    def answered_within(self, seconds: float) -> bool:
        """Wait for the answer, at most so long."""

    def result(self) -> Batch:
        """Wait for the answer; TransientError or TerminalError where it failed."""


class Source(Protocol):
    """One source collection. A part is what is planned and read by itself: a shard key, as text, or None."""

    def identify(self) -> tuple[str, str]:
        """Product and version of the server, such as ("Qdrant", "1.18.3"); TerminalError where none answers."""

    def info(self) -> api.CollectionInfo:
        """The settings of a Qdrant collection that holds the source's points, payload indexes too.

        TerminalError where the collection is not there or cannot be read.
        """

    def notices(self) -> list[str]:
        """What of the collection does not come along, or comes along otherwise; one line each."""

    def shard_keys(self) -> list[ShardKeyPlacement]:
        """The shard keys of the target that the source's parts go to; none where the parts are not shard keys."""

    def repeats(self) -> int:
        """Points whose id another part has as well: a target that merges the parts cannot hold them."""

    def parts(self) -> Sequence[str | None]:
        """The parts, empty ones too."""

    def count(self, part: str | None, exact: bool) -> int:
        """Points in the part."""

    def boundaries(self, part: str | None, pieces: int) -> list[str]:
        """At most `pieces - 1` ascending keys that cut the part into pieces of about the same size."""

    def start_read(self, part: str | None, start: str | None, end: str | None, limit: int) -> Read:
        """Begin to read at most `limit` points of `[start, end)` from `start` on, in key order."""

    def key_of(self, point: bytes) -> str:
        """The key of a serialized `PointStruct` of this source."""

    def keys(self, part: str | None, start: str | None, end: str | None) -> set[str]:
        """The keys of all points in `[start, end)`."""

    def close(self) -> None:
        """Close the connections."""


def open_source(migration: Migration, credentials: Credentials) -> Source:
    """Connect to the migration's source."""
    source: Source = import_module(SOURCES[migration.source.kind]).open_source(migration, credentials)
    return source
