"""A Qdrant collection as the source of a migration."""

from collections.abc import Mapping
from typing import Any

from qmig.errors import TerminalError
from qmig.migration import Credentials, Migration, SourceSpec
from qmig.qdrant import messages as api
from qmig.qdrant.collection import check_readable, close_names, collection_info, collection_names
from qmig.qdrant.reader import CollectionReader
from qmig.qdrant.server import Server, server_version
from qmig.rpc.connection import RETRY_FOR
from qmig.sources.base import Description, Source
from qmig.sources.kind import SourceOption

OPTIONS: tuple[SourceOption, ...] = ()


def with_options(source: SourceSpec, given: Mapping[str, Any]) -> SourceSpec:  # noqa: ARG001
    """Return the source as it is: this kind has no options of its own."""
    return source


def open_source(migration: Migration, credentials: Credentials, retry_for: float = RETRY_FOR) -> "QdrantSource":
    """Connect to the migration's source; calls are retried for `retry_for` seconds after a transient error."""
    endpoint, skip = migration.source.endpoint, migration.options.skip_tls_verification
    server = Server(endpoint, "source", credentials.source_api_key, skip, retry_for)
    return QdrantSource(server, migration.source.collection)


class QdrantSource(CollectionReader, Source):
    """A Qdrant collection that a migration copies."""

    def describe(self) -> Description:
        version = server_version(self.server)
        return Description("Qdrant", version, self._info(), self.shard_keys())

    def count_duplicate_ids(self) -> int:
        partitions = self.partitions()
        if len(partitions) < 2:
            return 0
        return sum(self.count(partition, exact=True) for partition in partitions) - self.count_distinct_ids()

    def close(self) -> None:
        self.server.close()

    def _info(self) -> api.CollectionInfo:
        """The collection's settings; TerminalError where it does not exist or cannot be read whole."""
        info = collection_info(self.server, self.collection)
        if info is None:
            close = close_names(self.collection, collection_names(self.server))
            raise TerminalError(
                f"source {self.server.endpoint.url} has no collection {self.collection!r}{close}; "
                "check --source-collection"
            )
        check_readable(info, "source", self.collection)
        return info
