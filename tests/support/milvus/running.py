"""A migration from Milvus as a process of its own, slow enough for something to happen meanwhile."""

import sys

from qmig.embedded.child_process import ChildProcess
from qmig.ledger.ledger import Ledger
from qmig.ledger.records import ChunkRecord, MigrationRecord
from tests.support.milvus.migration import Migration
from tests.support.waiting import until

# Sixteen seconds for 8,000 rows in one chunk.
SLOWLY = ["-c", "--chunk-size", "8000", "-b", "100", "--batch-delay", "200"]


def begin(migration: Migration, *arguments: str, broker: str) -> ChildProcess:
    """`qmig milvus` over this broker."""
    command = [sys.executable, "-m", "qmig", *migration.arguments, *arguments]
    return ChildProcess(command, name="qmig milvus", env={"QMIG_BROKER_URL": broker})


def record_of(migration: Migration) -> MigrationRecord | None:
    return next(iter(Ledger(migration.target, migration.ledger).migrations()), None)


def chunks_of(migration: Migration) -> list[ChunkRecord]:
    record = record_of(migration)
    if record is None or not record.chunks:
        return []
    return Ledger(migration.target, migration.ledger).chunks(record.migration, range(record.chunks))


def until_read(migration: Migration, rows: int) -> None:
    """Wait until the offsets in the ledger are past so many rows."""
    until(lambda: sum(chunk.read for chunk in chunks_of(migration)) >= rows, f"{rows} rows in the ledger")
