"""The progress of a migration: sums over the records of its chunks."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from qmig.ledger.records import ChunkRecord, State

# The state that is shown of a running chunk whose worker waits to try a call again.
RETRYING = "retrying"
# A chunk's letter in the map of chunks, by its state.
LETTERS = {State.PENDING: b"w", State.RUNNING: b"r", RETRYING: b"t", State.DONE: b"d", State.FAILED: b"f"}
#: The slowest chunks that are kept.
MAX_SLOWEST = 5


@dataclass
class Progress:
    """Sums over a migration's chunks."""

    #: Chunks in the plan so far.
    chunks: int
    #: Points that the plan expects.
    total: int
    #: Points that the target has acknowledged.
    points: int = 0
    #: Points that could not be copied.
    rejected: int = 0
    #: Bytes of the upserts.
    bytes: int = 0
    #: Calls that were retried.
    retries: int = 0
    #: The same by the reason of the failure.
    retry_reasons: Counter[str] = field(default_factory=Counter)
    #: Chunks that were claimed more than once.
    resumed: int = 0
    #: The limit in points a second over the whole fleet.
    max_rate: int | None = None
    #: Chunks by their state.
    states: Counter[str] = field(default_factory=Counter)
    #: Chunks that a worker holds.
    running: list[ChunkRecord] = field(default_factory=list)
    #: Chunks that failed.
    failed: list[ChunkRecord] = field(default_factory=list)
    #: The chunks that took longest, the slowest first.
    slowest: list[ChunkRecord] = field(default_factory=list)
    #: One of `LETTERS` for each chunk.
    letters: bytearray = field(default_factory=bytearray)

    @classmethod
    def of(cls, chunks: Iterable[ChunkRecord]) -> "Progress":
        progress = cls(0, 0)
        for chunk in chunks:
            progress.chunks += 1
            progress.total += chunk.expected
            progress.add(chunk)
        return progress

    def add(self, chunk: ChunkRecord) -> None:
        self.points += chunk.acknowledged
        self.rejected += chunk.rejected
        self.bytes += chunk.bytes
        self.retries += chunk.retries
        self.retry_reasons.update(chunk.retry_reasons)
        self.resumed += chunk.claims > 1
        self.states[chunk.state] += 1
        if chunk.state == State.RUNNING:
            self.running.append(chunk)
        if chunk.state == State.FAILED:
            self.failed.append(chunk)
        self._draw(chunk)
        if chunk.seconds > (self.slowest[-1].seconds if len(self.slowest) == MAX_SLOWEST else 0):
            self.slowest = sorted([*self.slowest, chunk], key=lambda one: -one.seconds)[:MAX_SLOWEST]

    def copy(self) -> "Progress":
        """A copy to which more chunks can be added."""
        return replace(
            self,
            retry_reasons=self.retry_reasons.copy(),
            states=self.states.copy(),
            running=list(self.running),
            failed=list(self.failed),
            letters=self.letters.copy(),
        )

    def _draw(self, chunk: ChunkRecord) -> None:
        if len(self.letters) <= chunk.index:
            self.letters += LETTERS[State.PENDING] * (chunk.index + 1 - len(self.letters))
        state = RETRYING if chunk.waiting and chunk.state == State.RUNNING else chunk.state
        self.letters[chunk.index : chunk.index + 1] = LETTERS[state]

    @property
    def all_finished(self) -> bool:
        return self.states[State.DONE] + self.states[State.FAILED] == self.chunks

    @property
    def share(self) -> float:
        """The part that is done, 0 to 1. It is 1 only when every chunk is done: the plan's counts are estimates."""
        if self.chunks and self.states[State.DONE] == self.chunks:
            return 1.0
        return min(0.999, self.points / self.total) if self.total else 0.0
