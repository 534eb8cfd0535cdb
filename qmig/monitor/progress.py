"""Where a migration stands, told from its chunks' records."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from qmig.ledger.records import ChunkRecord, State

# The state of a running chunk whose worker waits to try something again.
RETRYING = "retrying"
# A chunk's letter in a map, by its state.
LETTERS = {State.PENDING: b"w", State.RUNNING: b"r", RETRYING: b"t", State.DONE: b"d", State.FAILED: b"f"}
SLOWEST = 5


@dataclass
class Progress:
    """Sums over a migration's chunks. `total` is the points that the plan expected, `max_rate` the limit on them a
    second, `letters` has one of `LETTERS` a chunk, `slowest` are the chunks that took longest.
    """

    chunks: int
    total: int
    points: int = 0
    rejected: int = 0
    bytes: int = 0
    retries: int = 0
    retry_reasons: Counter[str] = field(default_factory=Counter)
    resumed: int = 0
    max_rate: int | None = None
    states: Counter[str] = field(default_factory=Counter)
    running: list[ChunkRecord] = field(default_factory=list)
    failed: list[ChunkRecord] = field(default_factory=list)
    slowest: list[ChunkRecord] = field(default_factory=list)
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
        if chunk.seconds > (self.slowest[-1].seconds if len(self.slowest) == SLOWEST else 0):
            self.slowest = sorted([*self.slowest, chunk], key=lambda one: -one.seconds)[:SLOWEST]

    def copy(self) -> "Progress":
        """Another one to add to."""
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
        """The part that is done, 0 to 1; the plan's counts are estimates, the states are not."""
        if self.chunks and self.states[State.DONE] == self.chunks:
            return 1.0
        return min(0.999, self.points / self.total) if self.total else 0.0
