"""A limit in points a second that the whole fleet shares, counted on Redis."""

import logging
import time
from collections.abc import Callable

from qmig.broker.outage import OutageLog
from qmig.broker.registry import FleetRegistry
from qmig.errors import TransientError
from qmig.formatting import pluralize

#: By migration: when the points that were granted so far are used up, in microseconds of Redis' clock.
RATE = "qmig:rate:"
#: Seconds between two requests for room under the limit.
ASK_EVERY = 0.05
#: Requests that the points of one second are split into, so that no worker waits long behind another.
PORTIONS = 10
#: Seconds of the limit that are saved up at most while no worker sends.
MAX_SAVED = 1.0
#: Seconds between two looks at the number of the fleet's processes.
COUNT_EVERY = 15.0
#: Seconds without Redis after it did not answer: each attempt may block until its time-out.
AWAY_FOR = 10.0

#: Grant points (2) at a rate (1) with some seconds saved up (3). A time that lies further ahead than any grant was
#: noted before Redis' clock was set back, or by somebody else.
GRANT = """
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local used_up = tonumber(redis.pcall('GET', KEYS[1]))
if not (used_up and used_up <= now + 2000000) then used_up = now end
used_up = math.max(used_up, now - ARGV[3] * 1000000)
if used_up > now then return 0 end
redis.call('SET', KEYS[1], string.format('%.0f', used_up + ARGV[2] * 1000000 / ARGV[1]), 'PX', 10000)
return 1
"""

log = logging.getLogger(__name__)


class RateLimiter:
    """Delays the points of one process, so that the fleet keeps to a migration's limit.

    While Redis is unavailable, the process keeps to its share: the limit, divided by the number of the fleet's
    processes at the last look.
    """

    def __init__(self, registry: FleetRegistry) -> None:
        self._registry = registry
        self._grant = registry.broker.client.register_script(GRANT)
        self._outage = OutageLog(log)
        self._processes = 1
        self._counted = self._away_until = self._used_up = float("-inf")

    def wait(
        self, migration: str, points: int, max_rate: Callable[[], int | None], sleep: Callable[[float], None]
    ) -> None:
        """Wait until this number of points may be sent.

        `max_rate` is called repeatedly, because the limit may change; None is no limit. `sleep` may
        raise an error to end the wait.
        """
        left = points
        while left > 0 and (rate := max_rate()) is not None:
            portion = min(left, max(1, rate // PORTIONS))
            if self._has_room(migration, rate, portion):
                left -= portion
            else:
                sleep(ASK_EVERY)

    def _has_room(self, migration: str, rate: int, points: int) -> bool:
        if time.monotonic() < self._away_until:
            return self._has_room_in_share(rate, points)
        try:
            self._count_processes()
            arguments = {"keys": [RATE + migration], "args": [rate, points, MAX_SAVED]}
            granted = self._registry.broker.guarded(self._grant, **arguments)
        except TransientError as error:
            self._away_until = time.monotonic() + AWAY_FOR
            share = f"{rate / self._processes:,.1f} of the {rate:,} points/s"
            fleet = pluralize(self._processes, "process", "processes")
            self._outage.began(f"{error}; meanwhile this process copies {share}, its share in a fleet of {fleet}")
            return self._has_room_in_share(rate, points)
        self._outage.ended("the broker answers again; the fleet shares the limit")
        return bool(granted)

    def _has_room_in_share(self, rate: int, points: int) -> bool:
        """What `GRANT` does, for this process alone."""
        now = time.monotonic()
        self._used_up = max(self._used_up, now - MAX_SAVED)
        if self._used_up > now:
            return False
        self._used_up += points * self._processes / rate
        return True

    def _count_processes(self) -> None:
        if time.monotonic() - self._counted >= COUNT_EVERY:
            self._processes = max(1, self._registry.processes())
            self._counted = time.monotonic()
