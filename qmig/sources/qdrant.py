"""A Qdrant collection as the source of a migration."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from qmig.errors import TerminalError
from qmig.migration import Credentials, Migration, SourceSpec
from qmig.qdrant import messages as api
from qmig.qdrant.aliases import own_name
from qmig.qdrant.collection import check_readable, close_names, collection_info, collection_names
from qmig.qdrant.identity import check_same, identity_of
from qmig.qdrant.lossy import big_integer_fields
from qmig.qdrant.one_server import is_one_server
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

    def own_name(self) -> str | None:
        server_version(self.server)
        return own_name(self.server, self.collection)

    def identity(self) -> dict[str, Any]:
        return identity_of(self, self._info())

    def check_unchanged(self, recorded: Mapping[str, Any]) -> None:
        check_same(self, recorded)

    def is_on(self, target: Server) -> bool:
        return is_one_server(self.server, target, self.collection)

    def describe(self) -> Description:
        version = server_version(self.server)
        return Description("Qdrant", version, self._info(), self.shard_keys())

    def count_duplicate_ids(self) -> int:
        partitions = self.partitions()
        if len(partitions) < 2:
            return 0
        return sum(self.count(partition, exact=True) for partition in partitions) - self.count_distinct_ids()

    def notices(self) -> list[str]:
        return [
            f"payload field {name!r} has numbers from 2^63 on: Qdrant's gRPC shows integers of this size as doubles, "
            "and the target gets doubles; store them as text in the source, or restore a snapshot of it instead"
            for name in self._big_integer_fields
        ]

    def verification_notices(self) -> list[str]:
        return [
            f"payload field {name!r} has numbers from 2^63 on, which both ends show as doubles: this comparison "
            "cannot tell whether the target has the source's integers"
            for name in self._big_integer_fields
        ]

    @cached_property
    def _big_integer_fields(self) -> list[str]:
        return big_integer_fields(self)

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
