"""The fleet shares a limit on Redis; without Redis each process keeps to its share, and says so once."""

import logging
import time
from collections.abc import Iterator

import pytest
import redis

from qmig.broker import rate_limit
from qmig.broker.fleet import Fleet
from qmig.broker.rate_limit import RATE, RateLimiter
from qmig.embedded.redis import EmbeddedRedis
from tests.support.ends import Ends
from tests.support.migrations import SLOWLY, arrived, copied, finish, own_fleet, start, until_copied

MIGRATION = "a-migration"
DAY_US = 86_400 * 1_000_000


@pytest.fixture
def server() -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis() as server:
        yield server


@pytest.fixture
def fleet(server: EmbeddedRedis) -> Iterator[Fleet]:
    """A fleet of four processes."""
    with Fleet(server.url) as fleet:
        for name in ("one", "two"):
            fleet.registry.send_heartbeat(fleet.describe_worker(name, 2))
        yield fleet


def seconds_for(limiter: RateLimiter, points: int, rate: int = 1000) -> float:
    began = time.monotonic()
    limiter.wait(MIGRATION, points, lambda: rate, time.sleep)
    return time.monotonic() - began


def test_two_processes_share_the_limit(fleet: Fleet) -> None:
    limiters = [RateLimiter(fleet.registry) for _ in range(2)]
    began = time.monotonic()
    for _ in range(10):
        for limiter in limiters:
            limiter.wait(MIGRATION, 100, lambda: 1000, time.sleep)
    # The last portion is granted when the ones before it are used up.
    assert time.monotonic() - began >= 1.8


def test_a_change_of_the_limit_counts_at_once(fleet: Fleet) -> None:
    limits = iter([10, 10, None])
    RateLimiter(fleet.registry).wait(MIGRATION, 1000, lambda: next(limits), lambda _: None)


def test_without_redis_each_keeps_to_its_share_and_says_so_once(
    server: EmbeddedRedis, fleet: Fleet, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rate_limit, "AWAY_FOR", 1.0)
    limiter = RateLimiter(fleet.registry)
    seconds_for(limiter, 100)
    server.kill()
    with caplog.at_level(logging.WARNING):
        # What was saved up, a second of the share, comes at once.
        assert seconds_for(limiter, 300) < 2
        # Then 250 points a second: four processes share 1,000.
        assert 2 <= seconds_for(limiter, 750) <= 8
    assert len(caplog.messages) == 1
    assert "this process copies 250.0 of the 1,000 points/s, its share in a fleet of 4 processes" in caplog.text
    server.start()
    caplog.clear()
    time.sleep(1.1)
    with caplog.at_level(logging.WARNING):
        seconds_for(limiter, 500)
    assert [message for message in caplog.messages if "answers again" in message] == caplog.messages != []
    with redis.Redis.from_url(server.url) as client:
        assert client.exists(RATE + MIGRATION)


@pytest.mark.parametrize("value", ["garbage", "nan", "inf", "", "-1", "ahead"])
def test_no_value_under_its_key_stalls_it(server: EmbeddedRedis, fleet: Fleet, value: str) -> None:
    with redis.Redis.from_url(server.url) as client:
        if value == "ahead":
            # As it was before Redis' clock was set back by a day.
            value = str(int(time.time() * 1e6) + DAY_US)
        client.set(RATE + MIGRATION, value, ex=86_400)
        assert seconds_for(RateLimiter(fleet.registry), 200) < 5
        client.delete(RATE + MIGRATION)
        client.rpush(RATE + MIGRATION, "garbage")
        assert seconds_for(RateLimiter(fleet.registry), 200) < 5
        assert 0 < client.pttl(RATE + MIGRATION) <= 10_000


def test_a_migration_with_a_limit_goes_on_without_redis(filled: Ends) -> None:
    with own_fleet() as (server, workers):
        running = start(filled, *SLOWLY, "--chunk-size", "3000", "--max-rate", "1000", broker=server.url)
        until_copied(filled, 300)
        server.kill()
        before = copied(filled)
        until_copied(filled, before + 1000)
        assert "its share in a fleet of 2 processes" in workers.read_stderr()
        server.start()
        finish(running)
    assert arrived(filled)
