"""A limit in points a second that the whole fleet shares, counted on Redis."""

from collections.abc import Callable

from limits import RateLimitItemPerSecond
from limits.errors import StorageError
from limits.storage import storage_from_string
from limits.strategies import SlidingWindowCounterRateLimiter

from qmig.broker.url import TIMEOUTS

#: Seconds between two requests for room under the limit.
ASK_EVERY = 0.05
#: Requests that the points of one second are split into: a request for all of them would be granted only after a
#: second in which no worker sent any.
PORTIONS = 10


class RateLimiter:
    """Delays one worker's points so that the fleet keeps to a migration's limit."""

    def __init__(self, broker_url: str, migration: str) -> None:
        storage = storage_from_string(broker_url, wrap_exceptions=True, **TIMEOUTS)
        self._limiter = SlidingWindowCounterRateLimiter(storage)
        self._migration = migration

    def wait(self, points: int, max_rate: Callable[[], int | None], sleep: Callable[[float], None]) -> None:
        """Wait until this number of points may be sent, and while Redis is unavailable.

        `max_rate` is called repeatedly, because the limit may change; None is no limit. `sleep` may
        raise an error to end the wait.
        """
        left = points
        while left > 0 and (rate := max_rate()) is not None:
            portion = min(left, max(1, rate // PORTIONS))
            if self._has_room(rate, portion):
                left -= portion
            else:
                sleep(ASK_EVERY)

    def _has_room(self, rate: int, points: int) -> bool:
        try:
            return self._limiter.hit(RateLimitItemPerSecond(rate), "qmig", self._migration, cost=points)
        except StorageError:
            return False
