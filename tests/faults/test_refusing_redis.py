"""A Redis that answers and refuses ends neither a worker nor a command: both wait, with one line, and go on."""

import time

import pytest
import redis

from qmig.broker.registry import WORKERS
from qmig.embedded.redis import EmbeddedRedis
from tests.support.ends import Ends
from tests.support.flower import flower_process, read_page, until_it_hears
from tests.support.migrations import SLOWLY, arrived, chunks_of, finish, own_fleet, start, until_copied, workers_on
from tests.support.refusing_redis import REFUSALS, Refusal, other_password, out_of_memory, read_only, refusing
from tests.support.tcp_proxy import Proxy
from tests.support.waiting import until
from tests.support.workers import begin_workers, worker_with_a_defect

# Seconds: long enough that each worker ends a chunk meanwhile.
REFUSED_SECONDS = 10.0
# Lines about the broker that one outage may cost a worker: that it began, that Celery connects again, that it ended.
MAX_LINES = 12


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=list(REFUSALS))
def test_workers_and_command_outlive_a_redis_that_refuses_for_10_s(filled: Ends, refusal: Refusal) -> None:
    with own_fleet() as (server, workers):
        running = start(filled, *SLOWLY, "--chunk-size", "500", broker=server.url)
        until_copied(filled, 500)
        before = len(workers.read_stderr().splitlines())
        with refusing(server, refusal):
            time.sleep(REFUSED_SECONDS)
            assert workers.running, workers.read_stderr()
            assert running.running, running.read_stderr()
            said = workers.read_stderr().splitlines()[before:]
        finish(running)
        assert workers.running
        log = workers.read_stderr()
    assert arrived(filled)
    assert "Traceback" not in log
    assert "Unrecoverable" not in log
    about = [line for line in said if "refuses" in line or "does not answer" in line or "broker" in line.lower()]
    assert about
    assert len(about) <= MAX_LINES, "\n".join(about)


@pytest.mark.parametrize("refusal", [out_of_memory, read_only, other_password])
def test_an_idle_worker_outlives_it_and_takes_part_again(filled: Ends, refusal: Refusal) -> None:
    with own_fleet() as (server, workers):
        with refusing(server, refusal):
            time.sleep(REFUSED_SECONDS)
        running = start(filled, "-c", broker=server.url)
        finish(running)
        assert "Traceback" not in workers.read_stderr()
    assert arrived(filled)


def test_a_worker_waits_for_a_redis_that_refuses_when_it_starts(filled: Ends) -> None:
    with EmbeddedRedis() as server:
        with refusing(server, out_of_memory):
            process = begin_workers(server.url)
            until(lambda: "waiting" in process.read_stderr(), "word of it", process)
        finish(start(filled, "-c", broker=server.url))
        process.stop()
    assert arrived(filled)


def test_a_worker_that_is_told_to_stop_stops_while_redis_refuses() -> None:
    with own_fleet() as (server, workers):
        with refusing(server, read_only):
            until(lambda: "waiting" in workers.read_stderr(), "word of it", workers)
            workers.stop(timeout=20)
            assert workers.wait() == 0
        assert "Traceback" not in workers.read_stderr()


def test_tasks_that_end_while_redis_refuses_are_settled_later(filled: Ends) -> None:
    with own_fleet() as (server, workers), redis.Redis.from_url(server.url) as client:
        running = start(filled, *SLOWLY, broker=server.url)
        until_copied(filled, 500)
        with refusing(server, read_only):
            time.sleep(REFUSED_SECONDS)
        finish(running)
        until(lambda: client.hlen("unacked") == 0, "every task being settled", workers)
        assert client.hlen(WORKERS) == 1
    assert all(chunk.error is None for chunk in chunks_of(filled))


def test_half_open_connections(filled: Ends) -> None:
    with EmbeddedRedis() as server, Proxy(server.port) as proxy:
        broker = server.url.replace(f":{server.port}/", f":{proxy.port}/")
        with workers_on(broker, 2) as workers:
            running = start(filled, *SLOWLY, broker=broker)
            until_copied(filled, 500)
            proxy.cut()
            time.sleep(REFUSED_SECONDS)
            # What was open then never answers again, and is never closed.
            proxy.forget()
            proxy.restore()
            finish(running)
            assert "Traceback" not in workers.read_stderr()
    assert arrived(filled)


@pytest.mark.parametrize("refusal", [out_of_memory, other_password, read_only])
def test_flower_outlives_it_and_hears_of_a_worker_that_comes_later(refusal: Refusal) -> None:
    with own_fleet(1) as (server, _), flower_process(env={"QMIG_BROKER_URL": server.url}) as flower:
        until_it_hears(flower)
        with refusing(server, refusal):
            time.sleep(REFUSED_SECONDS)
            assert read_page(f"{flower}/healthcheck") == "OK"
        with workers_on(server.url, 1) as later:
            name = f"qmig-{later.pid}@"
            until(lambda: name in read_page(f"{flower}/metrics"), "Flower hearing of the later worker")


def test_a_worker_that_cannot_go_on_ends_with_a_status_that_a_supervisor_restarts() -> None:
    with EmbeddedRedis() as server:
        process = worker_with_a_defect(server.url)
        until(lambda: not process.running, "the end of the worker")
        assert process.wait() == 1
        assert "a defect" in process.read_stderr()
