"""A chunk's title in Flower: its number, its partition, its range."""

import pytest

from qmig.broker.task import chunk_title, task_repr
from qmig.ledger.records import ChunkRecord, MigrationRecord
from qmig.migration import Endpoint, Migration, SourceSpec, TargetSpec


def record(kind: str) -> MigrationRecord:
    migration = Migration(SourceSpec(kind, Endpoint("a", 1), "products"), TargetSpec(Endpoint("b", 2), "products_v2"))
    return MigrationRecord(migration.id, migration, chunks=1400)


@pytest.mark.parametrize(
    ("partition", "start", "end", "title"),
    [
        ('"eu"', "1500000", "1550000", "chunk 31/1,400 · shard key eu · ids [1500000, 1550000)"),
        ("7", None, "20", "chunk 31/1,400 · shard key 7 · ids […, 20)"),
        (None, "99", None, "chunk 31/1,400 · ids [99, …)"),
        (None, "0a0b-uuid", "007", "chunk 31/1,400 · ids [0a0b-uuid, 007)"),
    ],
)
def test_the_title_of_a_chunk_of_a_qdrant(
    partition: str | None, start: str | None, end: str | None, title: str
) -> None:
    assert chunk_title(record("qdrant"), ChunkRecord("m", 30, partition, start, end)) == title


def test_the_title_of_a_chunk_of_a_milvus_with_negative_keys() -> None:
    chunk = ChunkRecord("m", 0, "north", "-5000", "12")

    assert chunk_title(record("milvus"), chunk) == "chunk 1/1,400 · partition north · ids [-5000, 12)"
    assert task_repr(record("milvus"), chunk)["argsrepr"] == "products → products_v2"
