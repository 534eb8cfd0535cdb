"""Sample a chunk's points by a hash of their keys: the same points each time, and a fair share of every range."""

import time
from dataclasses import replace
from hashlib import blake2b
from math import ceil

from qmig.qdrant.batch import Batch, KeyPage
from qmig.sources.base import Pending, Source

#: Keys in one page, however low the sampling rate.
MAX_KEYS_PER_PAGE = 20_000


def is_sampled(key: str, rate: float) -> bool:
    """Whether the point with this key is in the sample; `rate` is between 0 and 1, which is all points."""
    return int.from_bytes(blake2b(key.encode(), digest_size=8).digest()) < rate * 2**64


class SampleRead:
    """A pending read of the sampled points of `[start, end)`: first keys, then the points with the sampled ones."""

    def __init__(
        self, source: Source, rate: float, partition: str | None, start: str | None, end: str | None, limit: int
    ) -> None:
        """Start to read the first page of keys; `limit` is the maximum number of points."""
        self._source = source
        self._rate = rate
        self._partition = partition
        self._limit = limit
        page_size = min(MAX_KEYS_PER_PAGE, ceil(limit / rate))
        self._keys: Pending[KeyPage] = source.start_keys(partition, start, end, page_size)
        self._next_key: str | None = None
        self._points: Pending[Batch] | None = None

    def wait(self, seconds: float) -> bool:
        """Wait for the points, at most `seconds`. Return whether they have arrived."""
        deadline = time.monotonic() + seconds
        if self._points is None:
            if not self._keys.wait(seconds):
                return False
            self._points = self._start_points()
        return self._points.wait(max(0.0, deadline - time.monotonic()))

    def result(self) -> Batch:
        """Wait for the points; TransientError or TerminalError if the read failed."""
        if self._points is None:
            self._points = self._start_points()
        return replace(self._points.result(), next_key=self._next_key)

    def _start_points(self) -> Pending[Batch]:
        page = self._keys.result()
        sampled = [key for key in page.keys if is_sampled(key, self._rate)]
        self._next_key = page.next_key
        if len(sampled) > self._limit:
            self._next_key = sampled[self._limit]
            del sampled[self._limit :]
        return self._source.start_points(self._partition, sampled)
