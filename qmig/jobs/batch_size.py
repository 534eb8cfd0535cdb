"""How many points the next batch holds, and how a batch is cut into upserts."""

from collections.abc import Iterator

from qmig.migration import MAX_BATCH_BYTES, Options
from qmig.qdrant.batch import Batch

FIRST_BATCH = 50
# Points in one scroll, however small they are.
LARGEST_BATCH = 10_000


class BatchSize:
    """Points to ask for next: fixed, or such that their bytes come to `batch_bytes`."""

    def __init__(self, options: Options) -> None:
        self.limit = options.batch_size or FIRST_BATCH
        self._fixed = options.batch_size is not None
        self._aim = options.batch_bytes
        # Beyond this a batch is written in several upserts.
        self._most = MAX_BATCH_BYTES if self._fixed else min(2 * self._aim, MAX_BATCH_BYTES)
        self._most_points = LARGEST_BATCH if not self._fixed else self.limit

    def learn(self, batch: Batch) -> None:
        """Follow the size of the points, growing at most fourfold so that a change of size cannot overshoot."""
        if batch.points and not self._fixed:
            fitting = self._aim * len(batch.points) // max(1, sum(map(len, batch.points)))
            self.limit = max(1, min(fitting, 4 * self.limit, self._most_points))

    def cap_points(self, points: int) -> None:
        """The target refused an upsert of more points and took its parts: from now on no more than these."""
        self._most_points = min(self._most_points, points)
        self.limit = min(self.limit, self._most_points)

    def cap_bytes(self, size: int) -> None:
        """The same for the bytes of an upsert; a point that is larger still goes alone."""
        self._most = self._aim = min(self._aim, size)

    def split(self, points: list[bytes]) -> Iterator[list[bytes]]:
        """The points in portions that one upsert may carry; a point larger than that goes alone."""
        if len(points) <= self._most_points and sum(map(len, points)) <= self._most:
            yield points
            return
        portion: list[bytes] = []
        size = 0
        for point in points:
            if portion and (len(portion) >= self._most_points or size + len(point) > self._aim):
                yield portion
                portion, size = [], 0
            portion.append(point)
            size += len(point)
        if portion:
            yield portion
