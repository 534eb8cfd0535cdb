"""Where a migration stands, told from its chunks' records."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from qmig.ledger import ChunkRecord, State


@dataclass
class Progress:
    """Sums over a migration's chunks. `total` is the points that the plan expected, `max_rate` the limit on them a
    second."""

    chunks: int
    total: int
    points: int = 0
    rejected: int = 0
    bytes: int = 0
    retries: int = 0
    resumed: int = 0
    max_rate: int | None = None
    states: Counter[str] = field(default_factory=Counter)
    running: list[ChunkRecord] = field(default_factory=list)
    failed: list[ChunkRecord] = field(default_factory=list)

    @classmethod
    def of(cls, chunks: Iterable[ChunkRecord]) -> "Progress":
        progress = cls(0, 0)
        for chunk in chunks:
            progress.chunks += 1
            progress.total += chunk.aim
            progress.add(chunk)
        return progress

    def add(self, chunk: ChunkRecord) -> None:
        self.points += chunk.acknowledged
        self.rejected += chunk.rejected
        self.bytes += chunk.bytes
        self.retries += chunk.retries
        self.resumed += chunk.claims > 1
        self.states[chunk.state] += 1
        if chunk.state == State.RUNNING:
            self.running.append(chunk)
        if chunk.state == State.FAILED:
            self.failed.append(chunk)

    @property
    def all_finished(self) -> bool:
        return self.states[State.DONE] + self.states[State.FAILED] == self.chunks

    @property
    def share(self) -> float:
        """The part that is done, 0 to 1; the plan's counts are estimates, the states are not."""
        if self.chunks and self.states[State.DONE] == self.chunks:
            return 1.0
        return min(0.999, self.points / self.total) if self.total else 0.0
