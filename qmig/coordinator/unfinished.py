"""Collections that a load has left unfinished, or that are loaded now: what preflight says about them."""

from qmig.formatting import SHOWN_ID
from qmig.migration import Migration
from qmig.qdrant import messages as api
from qmig.qdrant.debt import Debt


def is_created_by(migration: Migration, target: api.CollectionInfo | None) -> bool:
    """Whether the target's metadata says that this migration has created it and loads it."""
    load = None if target is None else Debt.of(target).loads.get(migration.id)
    return load is not None and load.created


def target_notices_of_loads(migration: Migration, target: api.CollectionInfo, is_lost: bool) -> list[str]:
    """Describe the loads of an existing target, one line each; `is_lost`: the ledger has lost this migration."""
    name, debt = migration.target.collection, Debt.of(target)
    if is_lost:
        return [
            f"this migration has left the target {name!r} unfinished, and the ledger {migration.target.ledger!r} has "
            "no record of it: it begins anew, and puts the target's settings back at its end"
        ]
    others = [other[:SHOWN_ID] for other in debt.loads if other != migration.id]
    if others or (debt.final_settings is not None and not debt.loads):
        by = f"migration {', '.join(others)} loads" if others else "a migration loads"
        return [
            f"{by} the target {name!r} too, or has left it unfinished: its vector index is off, and the last "
            "migration to end puts its settings back"
        ]
    return []


def source_warnings(source: api.CollectionInfo) -> list[str]:
    """Warn of a source that is loaded itself."""
    loads = ", ".join(migration[:SHOWN_ID] for migration in Debt.of(source).loads)
    if not loads:
        return []
    return [
        f"migration {loads} loads the source collection, or has left it unfinished: points that it writes later may "
        "be missing in the target"
    ]
