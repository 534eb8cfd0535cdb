"""A broker behind a socket or behind sentinels is as good as any; what cannot be one is refused before a write."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import redis

from qmig.broker.queues import PLAIN_QUEUE
from qmig.embedded.child_process import free_port
from qmig.embedded.redis import EmbeddedRedis
from tests.support.command import Run
from tests.support.ends import Ends
from tests.support.flower import flower_process, read_page, until_it_hears
from tests.support.migrations import SLOWLY, arrived, finish, start, until_copied, workers_on
from tests.support.redis_forms import Sentinels, redis_behind_a_socket, redis_cluster, redis_with, sentinels
from tests.support.refusals import assert_nothing_written, assert_refused
from tests.support.refusing_redis import (
    Refusal,
    failed_snapshot,
    fewer_rights,
    other_password,
    out_of_memory,
    read_only,
    refusing,
)
from tests.support.waiting import until


def test_a_migration_over_a_socket(filled: Ends, tmp_path: Path, qmig: Run) -> None:
    with redis_behind_a_socket(tmp_path) as url, workers_on(url, 2) as workers:
        finish(start(filled, *SLOWLY, "--max-rate", "5000", broker=url))
        listed = qmig("workers", broker=url)
        assert "2 processes" in listed.stdout
        with redis.Redis(unix_socket_path=str(tmp_path / "redis.sock"), password="geheim", db=3) as client:
            assert client.exists("qmig:workers")
        assert "geheim" not in workers.read_stderr() + workers.read_stdout()
    assert arrived(filled)


def test_a_migration_over_sentinels_outlives_a_failover(filled: Ends, tmp_path: Path, qmig: Run) -> None:
    with sentinels(tmp_path) as there, workers_on(there.url, 2) as workers:
        running = start(filled, *SLOWLY, "--chunk-size", "500", "--max-rate", "1000", broker=there.url)
        until_copied(filled, 500)
        there.master.kill()
        with redis.Redis.from_url(there.replica.url) as client:
            until(lambda: client.info("replication")["role"] == "master", "the failover", workers, running)
        finish(running)
        assert "2 processes" in qmig("workers", broker=there.url).stdout
        said = workers.read_stderr() + workers.read_stdout() + running.read_stderr()
    assert arrived(filled)
    assert "Traceback" not in said
    assert there.master.password not in said


@pytest.mark.parametrize("form", [redis_behind_a_socket, sentinels])
def test_flower_hears_the_workers_over_the_same_forms(
    tmp_path: Path, form: Callable[[Path], AbstractContextManager[str | Sentinels]]
) -> None:
    with form(tmp_path) as there:
        url = there if isinstance(there, str) else there.url
        with flower_process(env={"QMIG_BROKER_URL": url}) as flower, workers_on(url, 1):
            until_it_hears(flower)
            page = read_page(f"{flower}/broker")
            assert PLAIN_QUEUE in page
            assert "geheim" not in page


REFUSED: dict[str, tuple[Refusal, str]] = {
    "read-only": (read_only, "it is a read-only replica"),
    "full": (out_of_memory, "its memory is full"),
    "failed-snapshot": (failed_snapshot, "its last snapshot failed"),
    "password": (other_password, "give the right user and password"),
    "rights": (fewer_rights, "its user needs more rights"),
}


@pytest.mark.parametrize("refused", REFUSED.values(), ids=list(REFUSED))
def test_a_redis_that_refuses_is_found_before_anything_is_written(
    filled: Ends, qmig: Run, refused: tuple[Refusal, str]
) -> None:
    refusal, said = refused
    with EmbeddedRedis() as server, refusing(server, refusal):
        result = qmig("qdrant", *filled.arguments, "-c", broker=server.url)
        assert_refused(result, 2, said, f"redis://***@127.0.0.1:{server.port}/0")
        assert server.password not in result.stderr
    assert_nothing_written(filled)


@pytest.mark.parametrize("command", ["qdrant", "worker", "flower", "workers"])
def test_a_cluster_is_refused_by_name(filled: Ends, qmig: Run, tmp_path: Path, command: str) -> None:
    arguments = [*filled.arguments, "-c"] if command == "qdrant" else []
    with redis_cluster(tmp_path) as url:
        assert_refused(qmig(command, *arguments, broker=url), 2, "it is a Redis Cluster")
    assert_nothing_written(filled)


def test_a_sentinel_under_a_redis_url_is_refused(tmp_path: Path, qmig: Run) -> None:
    with sentinels(tmp_path, 1) as there:
        port = there.url.partition("/0?")[0].rpartition(":")[2]
        assert_refused(qmig("worker", broker=f"redis://127.0.0.1:{port}/0"), 2, "it is a sentinel; give sentinel://")
        wrong = there.url.replace("=mine", "=other")
        assert_refused(qmig("worker", broker=wrong), 2, "(other)", "No master found")


def test_a_policy_that_deletes_tasks_is_warned_of(filled: Ends, qmig: Run) -> None:
    port = free_port()
    with redis_with(f"port {port}", "bind 127.0.0.1", "maxmemory-policy allkeys-lru"):
        url = f"redis://127.0.0.1:{port}/0"
        with workers_on(url, 1) as workers:
            result = qmig("qdrant", *filled.arguments, "-c", broker=url)
            assert result.returncode == 0, result.stderr
            assert "warning: the broker" in result.stderr
            assert "maxmemory-policy allkeys-lru" in result.stderr
            assert "maxmemory-policy allkeys-lru" in workers.read_stderr()
    assert arrived(filled)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("redis://127.0.0.1:{}/0?db=5", "has no parameter 'db'"),
        ("redis://127.0.0.1:{}/abc", "is not a number"),
        ("redis://127.0.0.1:{}/99", "DB index is out of range"),
        ("rediss://127.0.0.1:{}/0", "does not answer"),
        ("rediss://127.0.0.1:{}/0?ssl_ca_certs=/no/such.pem", "ssl_ca_certs=/no/such.pem: No such file"),
        ("http://127.0.0.1:{}", "not a URL of a Redis"),
    ],
)
def test_a_url_that_cannot_be_right(filled: Ends, qmig: Run, idle_broker: str, url: str, said: str) -> None:
    port = idle_broker.rpartition(":")[2].removesuffix("/0")
    password = idle_broker.partition("//:")[2].partition("@")[0]
    given = url.format(port).replace("127.0.0.1", f":{password}@127.0.0.1")
    for command in (["qdrant", *filled.arguments, "-c"], ["worker"]):
        began = time.monotonic()
        line = assert_refused(qmig(*command, broker=given), 2, said)
        assert password not in line
        assert time.monotonic() - began < 30
    assert_nothing_written(filled)


def test_celerys_own_command_refuses_a_url_in_one_line() -> None:
    refused = subprocess.run(
        [sys.executable, "-m", "celery", "--app", "workers", "worker"],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "QMIG_BROKER_URL": "redis://a/abc"},
    )
    assert refused.returncode != 0
    assert "Error: the broker redis://a/abc cannot be used: the database 'abc' is not a number" in refused.stderr
    assert "Traceback" not in refused.stderr
