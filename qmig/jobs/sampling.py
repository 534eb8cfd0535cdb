"""A fair share of a chunk's points, the same at every look: whether one is in it is told by a hash of its key."""

import time
from dataclasses import replace
from hashlib import blake2b
from math import ceil

from qmig.sources.base import Batch, Keys, Read, Source

# Keys in one page, however small the share.
MOST_KEYS = 20_000


def in_share(key: str, share: float) -> bool:
    """Whether the point with this key is in the share, a part of 1."""
    return int.from_bytes(blake2b(key.encode(), digest_size=8).digest()) < share * 2**64


class SampleRead:
    """A read of the points of `[start, end)` that are in the share, under way: their keys, then they themselves."""

    def __init__(
        self, source: Source, share: float, part: str | None, start: str | None, end: str | None, limit: int
    ) -> None:
        """At most `limit` points."""
        self._source = source
        self._share = share
        self._part = part
        self._limit = limit
        self._keys: Read[Keys] = source.start_keys(part, start, end, min(MOST_KEYS, ceil(limit / share)))
        self._next_key: str | None = None
        self._points: Read[Batch] | None = None

    def answered_within(self, seconds: float) -> bool:
        """Wait for the answer, at most so long."""
        deadline = time.monotonic() + seconds
        if self._points is None:
            if not self._keys.answered_within(seconds):
                return False
            self._points = self._choose()
        return self._points.answered_within(max(0.0, deadline - time.monotonic()))

    def result(self) -> Batch:
        """Wait for the answer; TransientError or TerminalError where it failed."""
        if self._points is None:
            self._points = self._choose()
        return replace(self._points.result(), next_key=self._next_key)

    def _choose(self) -> Read[Batch]:
        page = self._keys.result()
        chosen = [key for key in page.keys if in_share(key, self._share)]
        self._next_key = page.next_key
        if len(chosen) > self._limit:
            self._next_key = chosen[self._limit]
            del chosen[self._limit :]
        return self._source.start_points(self._part, chosen)
