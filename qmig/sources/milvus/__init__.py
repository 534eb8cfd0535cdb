"""A Milvus collection as the source: its fields mapped to Qdrant's, its rows read by ranges of the primary key."""

from typing import TYPE_CHECKING

from qmig.migration import Credentials, Migration
from qmig.sources.milvus.options import OPTIONS, with_options

if TYPE_CHECKING:
    from qmig.sources.milvus.source import MilvusSource

__all__ = ["OPTIONS", "open_source", "with_options"]


def open_source(migration: Migration, credentials: Credentials, retry_for: float) -> "MilvusSource":
    """Connect to the migration's source; calls are retried for `retry_for` seconds after a transient error."""
    # Late, so that the options do not import Milvus' messages.
    from qmig.sources.milvus.connection import MilvusConnection
    from qmig.sources.milvus.source import MilvusSource

    return MilvusSource(MilvusConnection(migration, credentials, retry_for), migration.source)
