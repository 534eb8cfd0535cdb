"""Look up rows by their keys, as steps of a `ranges.RangeRead`."""

from collections.abc import Mapping, Sequence

from qmig.qdrant.batch import Batch, InvalidRow
from qmig.sources.milvus.connection import ResultTooLargeError
from qmig.sources.milvus.conversion import Converter
from qmig.sources.milvus.keys import Key
from qmig.sources.milvus.range_read import Steps
from qmig.sources.milvus.requests import Requests

#: Keys in one filter.
MAX_KEYS_PER_FILTER = 1_000


def rows(requests: Requests, converter: Converter, partition: str | None, keys: Sequence[Key]) -> Steps[Batch]:
    """Read the rows with these keys; those that do not exist are left out."""
    points: list[bytes | InvalidRow] = []
    left, size = list(keys), MAX_KEYS_PER_FILTER
    while left:
        try:
            answer = yield requests.rows_of(partition, left[:size])
        except ResultTooLargeError:
            if size == 1:
                raise
            size = max(1, min(size, len(left)) // 2)
            continue
        points += converter.points(answer, partition)[1]
        del left[:size]
    return Batch.of(points, None)


def present(
    requests: Requests, converter: Converter, partitions: Sequence[str | None], ids: Mapping[Key, bytes]
) -> Steps[set[bytes]]:
    """Find the point ids of those keys that exist in one of the partitions."""
    found: set[bytes] = set()
    keys = list(ids)
    for first in range(0, len(keys), MAX_KEYS_PER_FILTER):
        answer = yield requests.keys_of(partitions, keys[first : first + MAX_KEYS_PER_FILTER])
        found.update(ids[key] for key in converter.key_column(answer))
    return found
