"""A Qdrant collection as the source of a migration."""

from collections.abc import Mapping, Sequence
from typing import Any

from qmig.errors import TerminalError
from qmig.migration import Credentials, Migration
from qmig.qdrant import messages as api
from qmig.qdrant.collection import check_readable, close_names, collection_info, collection_names
from qmig.qdrant.reader import CollectionReader
from qmig.qdrant.server import Server, server_version
from qmig.sources.base import RangeCount


def open_source(migration: Migration, credentials: Credentials) -> "QdrantSource":
    """Connect to the migration's source."""
    server = Server(
        migration.source.endpoint,
        "source",
        credentials.source_api_key,
        migration.options.skip_tls_verification,
    )
    return QdrantSource(server, migration.source.collection)


class QdrantSource(CollectionReader):
    """A Qdrant collection that a migration copies."""

    def identify(self) -> tuple[str, str]:
        return "Qdrant", server_version(self.server)

    def info(self) -> api.CollectionInfo:
        info = collection_info(self.server, self.collection)
        if info is None:
            close = close_names(self.collection, collection_names(self.server))
            raise TerminalError(
                f"source {self.server.endpoint.url} has no collection {self.collection!r}{close}; "
                "check --source-collection"
            )
        strict = info.config.strict_mode_config
        if strict.enabled and strict.HasField("search_allow_exact") and not strict.search_allow_exact:
            raise TerminalError(
                f"the source collection {self.collection!r} is in strict mode with search_allow_exact off: "
                "its points cannot be counted at the end; switch that on for the time of the migration"
            )
        check_readable(info, "source", self.collection)
        return info

    def notices(self) -> list[str]:
        return []

    def describe_mapping(self) -> list[str]:
        return []

    def freeze_settings(self, recorded: Mapping[str, Any] | None) -> dict[str, Any]:  # noqa: ARG002
        return {}

    def count_duplicate_ids(self) -> int:
        partitions = self.partitions()
        if len(partitions) < 2:
            return 0
        return sum(self.count(partition, exact=True) for partition in partitions) - self.count_distinct_ids()

    @property
    def key_field(self) -> None:
        return None

    def count_ranges(
        self,
        partition: str | None,  # noqa: ARG002
        ranges: Sequence[tuple[str | None, str | None]],  # noqa: ARG002
        read: Sequence[int],  # noqa: ARG002
    ) -> list[RangeCount] | None:
        # There is no filter on ranges of ids: each would have to be scrolled.
        return None

    def close(self) -> None:
        self.server.close()
