"""Change a record of the ledger, whatever its state: for the states that a test begins with."""

from typing import Any

from qmig.ledger.ledger import Ledger
from qmig.qdrant import messages as api


def set_fields(ledger: Ledger, migration: str, **changes: Any) -> None:
    """Change some fields of a migration's record."""
    ids = api.PointsSelector(points=api.PointsIdsList(ids=[api.PointId(uuid=migration)]))
    ledger._set(ids, changes)
