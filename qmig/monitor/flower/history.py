"""A migration's course since Flower was started, in few enough samples for a plot."""

from qmig.ledger.records import State
from qmig.monitor.status import MigrationStatus

# Samples that are kept: beyond this every other one goes, and the next come half as often.
MAX_SAMPLES_KEPT = 360


class History:
    """Points by the time: `samples` are `[seconds since 1970, points, bytes]`, the oldest first."""

    def __init__(self) -> None:
        self.samples: list[tuple[float, int, int]] = []
        self._every = 0.0

    def add(self, now: float, status: MigrationStatus) -> None:
        """Note where a migration stands that is under way; fewer points than before are a new beginning."""
        if status.state not in (State.RUNNING, State.PAUSED) and self._is_last(status):
            return
        if self.samples and status.points < self.samples[-1][1]:
            self.samples, self._every = [], 0.0
        if self.samples and now - self.samples[-1][0] < self._every:
            return
        self.samples.append((round(now, 1), status.points, status.bytes))
        if len(self.samples) > MAX_SAMPLES_KEPT:
            self.samples = self.samples[::2]
            span = self.samples[-1][0] - self.samples[0][0]
            self._every = span / (len(self.samples) - 1)

    def _is_last(self, status: MigrationStatus) -> bool:
        """Whether nothing has come since the last sample; one that had ended before the first look has none."""
        return not self.samples or self.samples[-1][1] == status.points
