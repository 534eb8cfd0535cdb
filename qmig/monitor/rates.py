"""How fast a migration is, from looks at it: nothing in the ledger says when its points were copied."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from qmig.ledger.owner import Owner
from qmig.ledger.records import ChunkRecord

# Seconds over which a rate is taken, unless two looks are further apart, and from which on there is one.
RATE_OVER = 60.0
RATE_FROM = 1.0


@dataclass(frozen=True)
class Sample:
    """What was copied by `time`, in seconds of any steady clock."""

    time: float
    points: int
    bytes: int


class Rate:
    """The rate over the last minute that was watched."""

    def __init__(self) -> None:
        self._samples: list[Sample] = []
        self._progressed = 0.0

    def add(self, sample: Sample) -> None:
        """Take a look into account; fewer points than before are a new beginning."""
        if self._samples and sample.points < self._samples[-1].points:
            self._samples.clear()
        if not self._samples or sample.points != self._samples[-1].points:
            self._progressed = sample.time
        self._samples.append(sample)
        while len(self._samples) > 2 and sample.time - self._samples[0].time > RATE_OVER:
            self._samples.pop(0)

    @property
    def seconds(self) -> float:
        """The time that the rate is over."""
        return self._samples[-1].time - self._samples[0].time if self._samples else 0.0

    @property
    def per_second(self) -> tuple[float, float] | tuple[None, None]:
        """Points and bytes; None before there are two looks with some time between them."""
        if self.seconds < RATE_FROM:
            return None, None
        first, last = self._samples[0], self._samples[-1]
        return (last.points - first.points) / self.seconds, (last.bytes - first.bytes) / self.seconds

    @property
    def seconds_since_progress(self) -> float:
        """Seconds for which no point has come; 0 before the second look."""
        return self._samples[-1].time - self._progressed if self._samples else 0.0


class WorkerRates:
    """Points a second by worker, over the last minute that was watched.

    The ledger names the worker of a chunk only while it has it: what was taken up and finished between two looks is
    nobody's.
    """

    def __init__(self) -> None:
        self._known: dict[int, tuple[str, int]] = {}
        self._points: Counter[str] = Counter()
        self._samples: list[tuple[float, Counter[str]]] = []

    def add(self, time: float, chunks: Iterable[ChunkRecord]) -> None:
        """Take into account what was read of the chunks that may have changed."""
        for chunk in chunks:
            before, points = self._known.pop(chunk.index, ("", chunk.acknowledged))
            if worker := worker_of(chunk) or before:
                self._points[worker] += chunk.acknowledged - points
            if not chunk.finished:
                self._known[chunk.index] = (worker_of(chunk), chunk.acknowledged)
        self._samples.append((time, self._points.copy()))
        while len(self._samples) > 2 and time - self._samples[0][0] > RATE_OVER:
            self._samples.pop(0)

    @property
    def per_second(self) -> dict[str, float]:
        """By `host/process`; empty before there are two looks with some time between them."""
        (first, before), (last, after) = self._samples[0], self._samples[-1]
        if last - first < RATE_FROM:
            return {}
        return {worker: (points - before[worker]) / (last - first) for worker, points in after.items()}


def worker_of(chunk: ChunkRecord) -> str:
    """`host/process` of the worker that has the chunk, empty without one."""
    return Owner.parse(chunk.owner).worker if chunk.owner else ""
