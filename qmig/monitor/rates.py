"""The rate of a migration, from repeated reads of the ledger, which does not record when points were copied."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from qmig.ledger.owner import Owner
from qmig.ledger.records import ChunkRecord

#: Seconds that a rate covers, unless its last two samples are further apart.
RATE_WINDOW = 60.0
#: Seconds that the samples must cover before there is a rate.
MIN_RATE_WINDOW = 1.0


@dataclass(frozen=True)
class Sample:
    """The points and bytes that were copied by one time."""

    #: Seconds of any steady clock.
    time: float
    points: int
    bytes: int


class Rate:
    """Points and bytes a second over the last `over` seconds."""

    def __init__(self, over: float = RATE_WINDOW, skips_idle_start: bool = False) -> None:
        """`skips_idle_start` leaves out the time before the first points are copied."""
        self._over = over
        self._skips_idle_start = skips_idle_start
        self._samples: list[Sample] = []
        self._last_progress = 0.0

    def add(self, sample: Sample) -> None:
        """Add a sample. One with fewer points than the last is the first of a new plan."""
        if self._samples and sample.points < self._samples[-1].points:
            self._samples.clear()
        if not self._samples or sample.points != self._samples[-1].points:
            self._last_progress = sample.time
        if self._skips_idle_start and self._samples and sample.points == self._samples[0].points:
            self._samples.clear()
        self._samples.append(sample)
        while len(self._samples) > 2 and sample.time - self._samples[0].time > self._over:
            self._samples.pop(0)

    @property
    def seconds(self) -> float:
        """Seconds that the rate covers."""
        return self._samples[-1].time - self._samples[0].time if self._samples else 0.0

    @property
    def per_second(self) -> tuple[float, float] | tuple[None, None]:
        """Points and bytes; None before the samples cover `MIN_RATE_WINDOW`."""
        if self.seconds < MIN_RATE_WINDOW:
            return None, None
        first, last = self._samples[0], self._samples[-1]
        return (last.points - first.points) / self.seconds, (last.bytes - first.bytes) / self.seconds

    @property
    def seconds_since_progress(self) -> float:
        """Seconds since a sample with more points than the one before; 0 before the second sample."""
        return self._samples[-1].time - self._last_progress if self._samples else 0.0


class WorkerRates:
    """Points a second of each worker over the last `RATE_WINDOW` seconds.

    The ledger names a chunk's worker only while the worker holds it: a chunk that was claimed and finished between
    two reads counts for no worker.
    """

    def __init__(self) -> None:
        self._known: dict[int, tuple[str, int]] = {}
        self._points: Counter[str] = Counter()
        self._samples: list[tuple[float, Counter[str]]] = []

    def add(self, time: float, chunks: Iterable[ChunkRecord]) -> None:
        """Add a sample: the chunks that may have changed, as they were read at `time`."""
        for chunk in chunks:
            before, points = self._known.pop(chunk.index, ("", chunk.acknowledged))
            if worker := worker_of(chunk) or before:
                self._points[worker] += chunk.acknowledged - points
            if not chunk.finished:
                self._known[chunk.index] = (worker_of(chunk), chunk.acknowledged)
        self._samples.append((time, self._points.copy()))
        while len(self._samples) > 2 and time - self._samples[0][0] > RATE_WINDOW:
            self._samples.pop(0)

    @property
    def per_second(self) -> dict[str, float]:
        """By `host/process`; empty before the samples cover `MIN_RATE_WINDOW`."""
        (first, before), (last, after) = self._samples[0], self._samples[-1]
        if last - first < MIN_RATE_WINDOW:
            return {}
        return {worker: (points - before[worker]) / (last - first) for worker, points in after.items()}


def worker_of(chunk: ChunkRecord) -> str:
    """`host/process` of the worker that holds the chunk; empty where no worker does."""
    return Owner.parse(chunk.owner).worker if chunk.owner else ""
