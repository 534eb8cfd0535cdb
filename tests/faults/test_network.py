"""Faults of the network, with a proxy before each server."""

import time
from collections.abc import Callable

import pytest

from qmig.embedded.redis import EmbeddedRedis
from qmig.ledger.records import State
from tests.support.ends import Ends
from tests.support.fault_servers import DisturbedEnds, FaultServers
from tests.support.migrations import (
    SLOWLY,
    arrived,
    chunks_of,
    copied,
    finish,
    own_fleet,
    start,
    until_copied,
    workers_on,
)
from tests.support.tcp_proxy import Proxy
from tests.support.waiting import until

DROPPED_SECONDS = 60.0

FAULTS: dict[str, Callable[[Proxy], None]] = {
    "answers-slowly": lambda proxy: proxy.delay(0.05),
    "carries-little": lambda proxy: proxy.throttle(100_000),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=list(FAULTS))
def test_network_that(disturbed: DisturbedEnds, fault_servers: FaultServers, fault: Callable[[Proxy], None]) -> None:
    running = start(disturbed, *SLOWLY, "--workers", "2")
    until_copied(disturbed, 500)
    fault(fault_servers.proxies["source"])
    fault(fault_servers.proxies["target"])
    finish(running)
    assert arrived(disturbed)


@pytest.mark.parametrize("role", ["source", "target"])
def test_connections_reset_again_and_again(disturbed: DisturbedEnds, fault_servers: FaultServers, role: str) -> None:
    running = start(disturbed, *SLOWLY, "--workers", "2")
    for points in (500, 1500, 2500):
        until_copied(disturbed, points)
        fault_servers.proxies[role].reset()
    finish(running)
    assert arrived(disturbed)


@pytest.mark.parametrize("role", ["source", "target"])
def test_server_that_refuses_connections_for_a_while(
    disturbed: DisturbedEnds, fault_servers: FaultServers, role: str
) -> None:
    proxy = fault_servers.proxies[role]
    with own_fleet() as (redis, workers):
        running = start(disturbed, *SLOWLY, broker=redis.url)
        until_copied(disturbed, 500)
        proxy.refuse()
        until(lambda: f"{role} {proxy.url}" in workers.read_stderr(), "word of it")
        proxy.restore()
        finish(running)
    assert arrived(disturbed)


def running_chunks(ends: Ends) -> set[int]:
    return {chunk.index for chunk in chunks_of(ends) if chunk.state == State.RUNNING}


@pytest.mark.parametrize("fault", [Proxy.cut, Proxy.reset, Proxy.refuse], ids=["drops", "resets", "refuses"])
def test_workers_continue_while_the_network_to_redis(
    disturbed: DisturbedEnds, fault: Callable[[Proxy], None]
) -> None:
    with EmbeddedRedis() as redis, Proxy(redis.port) as proxy:
        broker = redis.url.replace(f":{redis.port}/", f":{proxy.port}/")
        with workers_on(broker, 2):
            running = start(disturbed, *SLOWLY, broker=broker)
            until(lambda: len(running_chunks(disturbed)) == 2, "both workers taking a chunk")
            fault(proxy)
            under_way = running_chunks(disturbed)
            until(lambda: not under_way & running_chunks(disturbed), "the end of what both have")
            assert all(chunks_of(disturbed)[index].state == State.DONE for index in under_way)
            proxy.restore()
            finish(running)
    assert arrived(disturbed)
    assert all(chunk.claims == 1 for chunk in chunks_of(disturbed))


def test_network_that_drops_everything_for_60_s_and_has_forgotten_its_connections(
    disturbed: DisturbedEnds, fault_servers: FaultServers
) -> None:
    with own_fleet() as (redis, _):
        running = start(disturbed, *SLOWLY, broker=redis.url)
        until_copied(disturbed, 500)
        for proxy in fault_servers.proxies.values():
            proxy.cut()
        before = copied(disturbed)
        time.sleep(DROPPED_SECONDS)
        # Each worker may still have written the batch that was in flight.
        assert copied(disturbed) - before <= 100
        for proxy in fault_servers.proxies.values():
            proxy.forget()
            proxy.restore()
        finish(running)
    assert arrived(disturbed)
