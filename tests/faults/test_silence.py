"""A source that falls silent before a worker's first call."""

import time

import psutil

from tests.support.fault_servers import DisturbedEnds, FaultServers
from tests.support.migrations import POINTS, arrived, chunks_of, finish, own_fleet, start
from tests.support.waiting import until_logged

# Seconds: longer than a lease.
SILENT_FOR = 35.0


def test_a_worker_keeps_its_chunk_while_the_source_is_silent(
    disturbed: DisturbedEnds, fault_servers: FaultServers
) -> None:
    with own_fleet(2) as (redis_server, workers):
        hosts = [psutil.Process(workers.pid), *psutil.Process(workers.pid).children()]
        for process in hosts:
            process.suspend()
        running = start(disturbed, "-c", "--chunk-size", str(POINTS), broker=redis_server.url)
        until_logged(running, "planned")
        fault_servers.proxies["source"].cut()
        for process in hosts:
            process.resume()
        time.sleep(SILENT_FOR)
        (chunk,) = chunks_of(disturbed)
        fault_servers.restore()
        finish(running)
    assert (chunk.claims, chunk.lost_owners) == (1, 0)
    assert chunk.waiting
    assert arrived(disturbed)
