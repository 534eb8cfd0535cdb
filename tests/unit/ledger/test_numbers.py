"""A number that could not be read out of the ledger again is refused before it is written."""

import math
from typing import Any

import pytest

from qmig.errors import UsageError
from qmig.ledger.ledger import Ledger
from qmig.ledger.records import MigrationRecord, RecordKind
from qmig.migration import Endpoint, Migration, Options, SourceSpec, TargetSpec
from qmig.qdrant.server import Server

ENDPOINT = Endpoint("127.0.0.1", 1)
TARGET = TargetSpec(ENDPOINT, "copy", "offsets")


def migration(options: Options, settings: dict[str, Any] | None = None) -> Migration:
    return Migration(SourceSpec("qdrant", ENDPOINT, "products", settings=settings or {}), TARGET, options)


@pytest.mark.parametrize(
    ("definition", "said"),
    [
        (migration(Options(batch_size=2**63)), "batch_size is 9223372036854775808"),
        (migration(Options(batch_delay_ms=10**30)), f"batch_delay_ms is {10**30}"),
        (migration(Options(retry_for=math.inf)), "retry_for is inf"),
        (migration(Options(), {"offsets": [1, 2**64]}), "offsets is 18446744073709551616"),
        (migration(Options(), {"parts": [{"seen": math.nan}]}), "seen is nan"),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_a_definition_with_such_a_number_is_not_written(definition: Migration, said: str) -> None:
    with Server(ENDPOINT, "target", None, False, retry_for=0) as server, pytest.raises(UsageError) as refused:
        Ledger(server, "offsets").save(RecordKind.MIGRATION, [MigrationRecord(definition.id, definition)])
    assert str(refused.value).startswith(said)


def test_a_limit_that_no_record_can_hold_is_not_written() -> None:
    """Written as a double, it would make the record unreadable, and with it every command on the ledger."""
    record = MigrationRecord(migration(Options()).id, migration(Options()))
    with Server(ENDPOINT, "target", None, False, retry_for=0) as server, pytest.raises(UsageError) as refused:
        Ledger(server, "offsets").change_migration(record, max_rate=10**19)
    assert str(refused.value).startswith(f"max_rate is {10**19}; ")
