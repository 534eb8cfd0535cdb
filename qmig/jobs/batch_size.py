"""The number of points in the next batch, and how a batch is split into upserts."""

from collections.abc import Iterator

from qmig.migration import MAX_BATCH_BYTES, Options
from qmig.qdrant.batch import Batch

#: Points in the first batch, before anything is known of their size.
FIRST_BATCH_POINTS = 50
#: Points in one batch, however small they are.
MAX_BATCH_POINTS = 10_000


class BatchSize:
    """The size of batches: a fixed number of points, or as many as come to `--batch-bytes`."""

    def __init__(self, options: Options) -> None:
        #: The number of points to ask for next.
        self.limit = options.batch_size or FIRST_BATCH_POINTS
        self._is_fixed = options.batch_size is not None
        #: The size that a batch, and each part of a batch that is split, should come to.
        self._batch_bytes = options.batch_bytes
        #: The size above which a batch is split.
        self._max_bytes = MAX_BATCH_BYTES if self._is_fixed else min(2 * options.batch_bytes, MAX_BATCH_BYTES)
        #: The number of points above which a batch is split.
        self._max_points = self.limit if self._is_fixed else MAX_BATCH_POINTS

    def learn(self, batch: Batch) -> None:
        """Adapt the limit to the size of the points just read. It grows at most fourfold, so that it cannot overshoot
        when the size changes."""
        if batch.points and not self._is_fixed:
            fitting = self._batch_bytes * len(batch.points) // max(1, sum(map(len, batch.points)))
            self.limit = max(1, min(fitting, 4 * self.limit, self._max_points))

    def cap_points(self, max_points: int) -> None:
        """Send no more points in one upsert from now on, because the target refused more."""
        self._max_points = min(self._max_points, max_points)
        self.limit = min(self.limit, self._max_points)

    def cap_bytes(self, max_bytes: int) -> None:
        """Send no larger upsert from now on, because the target refused one. A single point may still be larger."""
        self._max_bytes = self._batch_bytes = min(self._batch_bytes, max_bytes)

    def split(self, points: list[bytes]) -> Iterator[list[bytes]]:
        """Split points into parts that one upsert may carry each. A point that is too large has a part to itself."""
        if len(points) <= self._max_points and sum(map(len, points)) <= self._max_bytes:
            yield points
            return
        part: list[bytes] = []
        size = 0
        for point in points:
            if part and (len(part) >= self._max_points or size + len(point) > self._batch_bytes):
                yield part
                part, size = [], 0
            part.append(point)
            size += len(point)
        if part:
            yield part
