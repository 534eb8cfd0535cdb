"""A fair share of a chunk's points, the same at every look: whether one is in it is told by a hash of its key."""

import time
from dataclasses import replace
from hashlib import blake2b
from math import ceil

from qmig.qdrant.batch import Batch, KeyPage
from qmig.sources.base import Pending, Source

# Keys in one page, however small the share.
MAX_KEYS = 20_000


def is_sampled(key: str, share: float) -> bool:
    """Whether the point with this key is in the share, a part of 1."""
    return int.from_bytes(blake2b(key.encode(), digest_size=8).digest()) < share * 2**64


class SampleRead:
    """A read of the points of `[start, end)` that are in the share, under way: their keys, then they themselves."""

    def __init__(
        self, source: Source, share: float, partition: str | None, start: str | None, end: str | None, limit: int
    ) -> None:
        """At most `limit` points."""
        self._source = source
        self._share = share
        self._partition = partition
        self._limit = limit
        self._keys: Pending[KeyPage] = source.start_keys(partition, start, end, min(MAX_KEYS, ceil(limit / share)))
        self._next_key: str | None = None
        self._points: Pending[Batch] | None = None

    def wait(self, seconds: float) -> bool:
        """Wait for the answer, at most so long."""
        deadline = time.monotonic() + seconds
        if self._points is None:
            if not self._keys.wait(seconds):
                return False
            self._points = self._choose()
        return self._points.wait(max(0.0, deadline - time.monotonic()))

    def result(self) -> Batch:
        """Wait for the answer; TransientError or TerminalError where it failed."""
        if self._points is None:
            self._points = self._choose()
        return replace(self._points.result(), next_key=self._next_key)

    def _choose(self) -> Pending[Batch]:
        page = self._keys.result()
        chosen = [key for key in page.keys if is_sampled(key, self._share)]
        self._next_key = page.next_key
        if len(chosen) > self._limit:
            self._next_key = chosen[self._limit]
            del chosen[self._limit :]
        return self._source.start_points(self._partition, chosen)
