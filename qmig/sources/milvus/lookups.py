"""Looking up rows by their keys, as steps that `ranges.RangeRead` takes."""

from collections.abc import Mapping, Sequence

from qmig.qdrant.batch import Batch, InvalidRow
from qmig.sources.milvus.connection import ResultTooLargeError
from qmig.sources.milvus.conversion import Converter
from qmig.sources.milvus.keys import Key
from qmig.sources.milvus.ranges import Steps, batch_of
from qmig.sources.milvus.requests import Requests

# Keys that one filter names.
KEYS_AT_ONCE = 1_000


def rows(requests: Requests, converter: Converter, partition: str | None, keys: Sequence[Key]) -> Steps[Batch]:
    """The rows with these keys, as far as there are any."""
    points: list[bytes | InvalidRow] = []
    left, size = list(keys), KEYS_AT_ONCE
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
    return batch_of(points, None)


def present(
    requests: Requests, converter: Converter, partitions: Sequence[str | None], ids: Mapping[Key, bytes]
) -> Steps[set[bytes]]:
    """The ids of those of these keys that one of the parts has."""
    found: set[bytes] = set()
    keys = list(ids)
    for partition in partitions:
        for first in range(0, len(keys), KEYS_AT_ONCE):
            answer = yield requests.keys_of(partition, keys[first : first + KEYS_AT_ONCE])
            found.update(ids[key] for key in converter.key_column(answer))
    return found
