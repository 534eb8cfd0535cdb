"""The result of a migration or a verification that was followed to its end."""

from dataclasses import dataclass

from qmig.ledger.findings import Findings
from qmig.ledger.reconciliation import Reconciliation
from qmig.ledger.records import MigrationRecord
from qmig.monitor.progress import Progress


@dataclass(frozen=True)
class Result:
    """A migration or a verification at its end, and the points that were processed while it was followed."""

    #: The record of the migration or the verification at its end.
    record: MigrationRecord
    #: Sums over its chunks.
    progress: Progress
    #: The checks at the end; all zero for a verification.
    reconciliation: Reconciliation
    #: Points copied, or compared, in `seconds`.
    points: int
    #: Seconds from the start of the command to the end.
    seconds: float
    #: The period that `points` and `seconds` cover, for people.
    period: str = "in this run"

    @property
    def findings(self) -> Findings:
        """The differences that a verification found."""
        return self.record.findings or Findings()

    @property
    def points_per_second(self) -> float:
        return self.points / self.seconds if self.seconds else 0.0
