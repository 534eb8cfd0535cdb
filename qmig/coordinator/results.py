"""What a finished migration or verification came to."""

from dataclasses import dataclass

from qmig.ledger.findings import Findings
from qmig.ledger.records import MigrationRecord, Reconciliation
from qmig.monitor.progress import Progress


@dataclass(frozen=True)
class Summary:
    """What a finished migration came to: `points` in `seconds` since then, "in this run" for one."""

    record: MigrationRecord
    progress: Progress
    reconciliation: Reconciliation
    points: int
    seconds: float
    since: str = "in this run"


@dataclass(frozen=True)
class Verdict:
    """What a verification found: `points` were compared in `seconds` since then, "in this run" for one."""

    record: MigrationRecord
    findings: Findings
    points: int
    seconds: float
    since: str = "in this run"
