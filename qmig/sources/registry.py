"""The kinds of sources, and how one is opened."""

from dataclasses import dataclass
from importlib import import_module

from qmig.migration import Credentials, Migration
from qmig.sources.base import Source


@dataclass(frozen=True)
class Kind:
    """The module that reads sources of a kind, and what a part of one is called."""

    module: str
    partition: str


SOURCES = {
    "qdrant": Kind("qmig.sources.qdrant", partition="shard key"),
    "milvus": Kind("qmig.sources.milvus", partition="partition"),
}


def open_source(migration: Migration, credentials: Credentials) -> Source:
    """Connect to the migration's source."""
    source: Source = import_module(SOURCES[migration.source.kind].module).open_source(migration, credentials)
    return source


def partition_title(migration: Migration, partition: str | None) -> str:
    """A part for a person, such as `partition north`; nothing where the source has no parts."""
    return "" if partition is None else f"{SOURCES[migration.source.kind].partition} {partition}"
