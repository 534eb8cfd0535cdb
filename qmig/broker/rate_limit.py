"""A limit on points a second that the whole fleet shares, counted on Redis."""

from collections.abc import Callable

from limits import RateLimitItemPerSecond
from limits.errors import StorageError
from limits.storage import storage_from_string
from limits.strategies import SlidingWindowCounterRateLimiter

from qmig.broker.url import TIMEOUTS

# Seconds between two questions whether there is room, and the part of a second's points that one asks for: as much
# as the limit at once would find room only after a second in which nobody sent anything.
ASK_EVERY = 0.05
PORTIONS = 10


class RateLimiter:
    """Lets one worker's points through as a migration's limit allows."""

    def __init__(self, broker_url: str, migration: str) -> None:
        storage = storage_from_string(broker_url, wrap_exceptions=True, **TIMEOUTS)
        self._limiter = SlidingWindowCounterRateLimiter(storage)
        self._migration = migration

    def wait(self, points: int, max_rate: Callable[[], int | None], sleep: Callable[[float], None]) -> None:
        """Wait until so many points may be sent; where Redis is away, as if there were no room.

        `max_rate` is asked again and again: the limit may change or be lifted meanwhile. `sleep` may raise.
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
