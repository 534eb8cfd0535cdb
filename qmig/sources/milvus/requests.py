"""Build the queries of a migration, all with one guarantee timestamp."""

from collections.abc import Sequence
from typing import Any

from qmig.sources.milvus.connection import MAX_ROWS
from qmig.sources.milvus.keys import Key, Keys
from qmig.sources.milvus.messages import milvus
from qmig.sources.milvus.settings import CUSTOMIZED, STRONG
from qmig.sources.milvus.values import int_of

COUNT = "count(*)"


class Requests:
    """Builds queries of one collection. A `guarantee_timestamp` of 0 asks for Strong consistency."""

    def __init__(self, collection: str, keys: Keys, output_fields: list[str]) -> None:
        self._collection = collection
        self._keys = keys
        self._output_fields = output_fields
        self.guarantee_timestamp = 0
        #: The partitions that a query without one names; empty where it names none.
        self.partitions: Sequence[str] = ()

    def rows(self, partition: str | None, start: Key | None, end: Key | None, limit: int) -> milvus.QueryRequest:
        """Ask for at most `limit` rows of `[start, end)`; which ones is the server's choice."""
        return self._range(partition, start, end, self._output_fields, limit)

    def keys(self, partition: str | None, start: Key | None, end: Key | None, limit: int) -> milvus.QueryRequest:
        """Ask for at most `limit` keys of `[start, end)`; which ones is the server's choice."""
        return self._range(partition, start, end, self._output_fields[:1], limit)

    def count(self, partition: str | None, start: Key | None, end: Key | None) -> milvus.QueryRequest:
        """Ask for the number of rows in `[start, end)`; a key that occurs twice counts twice."""
        return self._range(partition, start, end, [COUNT], None)

    def rows_of(self, partition: str | None, keys: Sequence[Key]) -> milvus.QueryRequest:
        """Ask for the rows with these keys."""
        return self._query([partition], self._keys.one_of(keys), self._output_fields, 2 * len(keys))

    def keys_of(self, partitions: Sequence[str | None], keys: Sequence[Key]) -> milvus.QueryRequest:
        """Ask which of these keys exist in one of the partitions."""
        limit = min(MAX_ROWS, (1 + len(partitions)) * len(keys))
        return self._query(partitions, self._keys.one_of(keys), self._output_fields[:1], limit)

    def _range(
        self, partition: str | None, start: Key | None, end: Key | None, fields: list[str], limit: int | None
    ) -> milvus.QueryRequest:
        return self._query([partition], self._keys.condition(start, end), fields, limit)

    def _query(
        self, partitions: Sequence[str | None], condition: str, fields: list[str], limit: int | None
    ) -> milvus.QueryRequest:
        request = milvus.QueryRequest(
            collection_name=self._collection,
            expr=condition,
            output_fields=fields,
            partition_names=[one for one in partitions if one is not None] or self.partitions,
            consistency_level=CUSTOMIZED if self.guarantee_timestamp else STRONG,
            guarantee_timestamp=self.guarantee_timestamp,
        )
        if limit is not None:
            request.query_params.add(key="limit", value=str(limit))
        return request


def counted(results: Any) -> int:
    """Read the number in the answer to a count."""
    (packed,) = results.fields_data[0].scalars.long_data.data
    return int_of(packed)
