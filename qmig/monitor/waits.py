"""What chunks wait for: one entry for each server, however many workers say so, and in however many words."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from qmig.formatting import pluralize, since
from qmig.ledger.records import ChunkRecord


@dataclass(frozen=True)
class Wait:
    """The chunks that wait for one server."""

    #: The server, such as `source http://a:6334`: the beginning of every error about it.
    server: str
    #: The most frequent error.
    reason: str
    #: The number of chunks.
    chunks: int
    #: Seconds for which the first of them has waited, by its worker's clock.
    seconds: float

    @property
    def text(self) -> str:
        """The wait in one line."""
        return f"{pluralize(self.chunks, 'chunk')}: {self.reason}, {since(self.seconds)}"


def waits_of(chunks: Iterable[ChunkRecord]) -> list[Wait]:
    """The waits among running chunks, by their server, that of the most chunks first."""
    by_server: defaultdict[str, list[ChunkRecord]] = defaultdict(list)
    for chunk in chunks:
        if chunk.waiting is not None:
            by_server[server_of(chunk.waiting)].append(chunk)
    waits = [_wait(server, waiting) for server, waiting in by_server.items()]
    return sorted(waits, key=lambda wait: -wait.chunks)


def server_of(reason: str) -> str:
    """The server that an error is about: an error begins with its role and URL."""
    return reason.partition(": ")[0]


def _wait(server: str, chunks: list[ChunkRecord]) -> Wait:
    reasons = Counter(chunk.waiting for chunk in chunks if chunk.waiting is not None)
    return Wait(server, reasons.most_common(1)[0][0], len(chunks), max(chunk.waiting_seconds for chunk in chunks))
