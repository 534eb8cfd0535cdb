"""The points of a migration over time since Flower was started, in few enough samples for a plot."""

from qmig.ledger.records import State
from qmig.monitor.status import MigrationStatus

#: Samples that are kept. When there are more, every other one is dropped, and new ones are added half as often.
MAX_SAMPLES = 360


class History:
    """Samples of a migration's points and bytes."""

    def __init__(self) -> None:
        #: `(seconds since 1970, points, bytes)`, the oldest first.
        self.samples: list[tuple[float, int, int]] = []
        self._interval = 0.0

    def add(self, now: float, status: MigrationStatus) -> None:
        """Add a sample of a migration. Fewer points than before mean that the migration began again."""
        if status.state not in (State.RUNNING, State.PAUSED) and self._is_unchanged(status):
            return
        if self.samples and status.points < self.samples[-1][1]:
            self.samples, self._interval = [], 0.0
        if self.samples and now - self.samples[-1][0] < self._interval:
            return
        self.samples.append((round(now, 1), status.points, status.bytes))
        if len(self.samples) > MAX_SAMPLES:
            self.samples = self.samples[::2]
            span = self.samples[-1][0] - self.samples[0][0]
            self._interval = span / (len(self.samples) - 1)

    def _is_unchanged(self, status: MigrationStatus) -> bool:
        """Whether no point was added since the last sample, or the migration ended before the first."""
        return not self.samples or self.samples[-1][1] == status.points
