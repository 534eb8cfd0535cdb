"""A server that is away is away for the migration: one wait, one reason, and one stop with all offsets kept."""

import re
import time
from dataclasses import replace

import grpc
import pytest

from qmig.embedded.redis import EmbeddedRedis
from qmig.qdrant import messages as api
from tests.support.command import Run
from tests.support.fault_servers import DisturbedEnds, FaultServers
from tests.support.grpc_proxy import Refusal, Reply
from tests.support.migrations import (
    LEISURELY,
    SLOWLY,
    arrived,
    chunks_of,
    copied,
    finish,
    own_fleet,
    record_of,
    start,
    state_of,
    until_copied,
    until_state,
    workers_on,
)
from tests.support.scripted_proxy import Answering
from tests.support.waiting import until

AWAY = Refusal(grpc.StatusCode.UNAVAILABLE, "Received http2 header with status: 502")
ALWAYS = 1_000_000


def assert_stopped(ends: DisturbedEnds, copied_before: int) -> str:
    """The migration is stopped as one, its chunks wait with their offsets; the reason."""
    until(lambda: not any(chunk.owner for chunk in chunks_of(ends)), "every chunk being released")
    record = record_of(ends)
    assert record is not None
    assert record.state == "stopped"
    assert record.error is not None
    assert {chunk.state for chunk in chunks_of(ends)} <= {"pending", "done"}
    assert not any(chunk.error or chunk.waiting for chunk in chunks_of(ends))
    assert copied(ends) >= copied_before
    return record.error


@pytest.mark.parametrize("fault", ["refuse", "cut"])
def test_a_source_that_stays_away_stops_the_migration_and_not_its_chunks(
    disturbed: DisturbedEnds, fault_servers: FaultServers, qmig: Run, fault: str
) -> None:
    proxy = fault_servers.proxies["source"]
    with own_fleet() as (redis, _):
        running = start(disturbed, *SLOWLY, "--retry-for", "3s", broker=redis.url)
        until_copied(disturbed, 500)
        getattr(proxy, fault)()
        before = copied(disturbed)
        finish(running, 1)
        error = assert_stopped(disturbed, before)
        # No worker has gone from chunk to chunk.
        assert sum(chunk.claims for chunk in chunks_of(disturbed)) <= 4
        said = running.read_stderr()

        assert error.startswith(f"source {disturbed.source_url}: ")
        assert said.count("--retry-for), so the migration was stopped") == 1
        assert "the same command resumes" in said
        assert f"source {disturbed.source_url}: " in qmig("status", *disturbed.where).stdout

        proxy.restore()
        again = qmig("qdrant", *disturbed.arguments, "--retry-for", "1m", broker=redis.url)
    assert again.returncode == 0, again.stderr
    assert arrived(disturbed)
    record = record_of(disturbed)
    assert record is not None
    assert record.error is None


def test_a_target_that_stays_away_ends_the_command_and_keeps_the_offsets(
    disturbed: DisturbedEnds, fault_servers: FaultServers, qmig: Run
) -> None:
    proxy = fault_servers.proxies["target"]
    with own_fleet() as (redis, workers):
        running = start(disturbed, *SLOWLY, "--retry-for", "9s", broker=redis.url)
        until_copied(disturbed, 500)
        proxy.refuse()
        before = copied(disturbed)
        finish(running, 1)
        said = running.read_stderr()
        assert f"target {disturbed.target_url}: " in said
        assert "given up after 9.0 s (--retry-for)" in said
        assert said.count("waiting up to 9.0 s") == 1
        until(lambda: "given up" in workers.read_stderr(), "the workers giving up")
        assert workers.running

        proxy.restore()
        assert not any(chunk.state == "failed" for chunk in chunks_of(disturbed))
        assert copied(disturbed) >= before
        again = qmig("qdrant", *disturbed.arguments, "--retry-for", "1m", broker=redis.url)
    assert again.returncode == 0, again.stderr
    assert arrived(disturbed)


def test_a_target_that_is_back_in_time_is_all_that_a_migration_needs(
    disturbed: DisturbedEnds, fault_servers: FaultServers
) -> None:
    proxy = fault_servers.proxies["target"]
    with own_fleet() as (redis, _):
        running = start(disturbed, *SLOWLY, "--retry-for", "1m", broker=redis.url)
        until_copied(disturbed, 500)
        proxy.refuse()
        until(lambda: "waiting up to 1:00 (--retry-for)" in running.read_stderr(), "word of it")
        proxy.restore()
        finish(running)
    assert arrived(disturbed)
    assert all(chunk.error is None for chunk in chunks_of(disturbed))


def test_chunks_that_are_answered_are_copied_while_others_wait(
    refused: DisturbedEnds, source_answers: Answering, qmig: Run
) -> None:
    """The points from 4500 on are on a shard that is down: the last of four chunks waits alone."""

    def down(path: str, request: bytes) -> Reply | None:
        if not path.endswith("/Scroll"):
            return None
        offset = api.ScrollPoints.FromString(request).offset
        return AWAY if offset.num >= 4500 else None

    source_answers.reply = down
    with own_fleet() as (redis, _):
        running = start(refused, *LEISURELY, "--retry-for", "2s", broker=redis.url)
        until(lambda: any(chunk.waiting for chunk in chunks_of(refused)), "a chunk that waits")
        finish(running, 1)
        assert_stopped(refused, 0)
        last = [chunk for chunk in chunks_of(refused) if int(chunk.end or 6000) > 4500]
        assert all(chunk.state == "done" for chunk in chunks_of(refused) if chunk not in last)
        source_answers.reply = lambda _path, _request: None
        again = qmig("qdrant", *refused.arguments, "--batch-delay", "0", broker=redis.url)
    assert again.returncode == 0, again.stderr
    assert arrived(refused)


def test_a_worker_that_alone_gets_no_answer_stops_nobody(disturbed: DisturbedEnds) -> None:
    """One host reaches the source through a proxy that is not there."""
    source_url = disturbed.source_url.replace("127.0.0.1", "localhost")
    ends = replace(disturbed, source_url=source_url)
    with (
        EmbeddedRedis() as redis,
        workers_on(redis.url, 1),
        workers_on(redis.url, 1, grpc_proxy="http://127.0.0.1:1", no_grpc_proxy="127.0.0.1") as cut_off,
    ):
        running = start(ends, *LEISURELY, "--batch-delay", "100", "--retry-for", "4s", broker=redis.url)
        finish(running)
        assert "set aside: other workers got answers" in cut_off.read_stderr()
    assert arrived(disturbed)
    assert all(chunk.state == "done" and chunk.error is None for chunk in chunks_of(disturbed))


def test_a_broker_that_is_lost_meanwhile_changes_nothing(
    disturbed: DisturbedEnds, fault_servers: FaultServers
) -> None:
    with own_fleet() as (redis, _):
        running = start(disturbed, *SLOWLY, "--retry-for", "8s", broker=redis.url)
        until_copied(disturbed, 500)
        fault_servers.proxies["source"].refuse()
        until(lambda: sum(bool(chunk.waiting) for chunk in chunks_of(disturbed)) == 2, "both workers waiting")
        redis.stop()
        finish(running, 1)
        assert_stopped(disturbed, 0)


def test_a_wait_is_said_once_with_its_beginning_and_a_pause_ends_it_at_once(
    refused: DisturbedEnds, source_answers: Answering, qmig: Run
) -> None:
    replies = iter(range(ALWAYS))

    def differently(path: str, _request: bytes) -> Reply | None:
        if not path.endswith("/Scroll"):
            return None
        return Refusal(grpc.StatusCode.UNAVAILABLE, f"attempt {next(replies)} failed")

    with own_fleet() as (redis, workers):
        running = start(refused, *SLOWLY, broker=redis.url)
        until_copied(refused, 500)
        source_answers.reply = differently
        until(lambda: sum(bool(chunk.waiting) for chunk in chunks_of(refused)) == 2, "both workers waiting")
        until(lambda: "2 chunks: source" in qmig("status", *refused.where).stdout, "both in the status")
        said = qmig("status", *refused.where).stdout
        assert len(re.findall(r"attempt \d+ failed", said)) == 1, said
        assert re.search(r"2 chunks: source \S+: attempt \d+ failed, since \d\d:\d\d:\d\d \(", said), said
        told = re.findall(r"warning: .*waiting up to 1:00:00 \(--retry-for\)", running.read_stderr())
        assert len(told) == 1, told
        # A worker logs the beginning of its wait, and not every attempt.
        assert len(re.findall(r"attempt \d+ failed; waiting", workers.read_stderr())) == 2

        began = time.monotonic()
        paused = qmig("pause", *refused.where)
        assert paused.returncode == 0, paused.stderr
        until(lambda: not any(chunk.owner for chunk in chunks_of(refused)), "the chunks being released")
        assert time.monotonic() - began < 10
        assert state_of(refused) == "paused"
        source_answers.restore()
        source_answers.reply = lambda _path, _request: None
        assert qmig("resume", *refused.where).returncode == 0
        finish(running)
    assert arrived(refused)


def test_checks_at_the_end_wait_for_a_bounded_time_too(
    refused: DisturbedEnds, source_answers: Answering, qmig: Run
) -> None:
    with own_fleet() as (redis, _):
        running = start(refused, *SLOWLY, "--retry-for", "5s", broker=redis.url)
        until_copied(refused, 500)
        source_answers.answer("Get", AWAY, ALWAYS, refused.source_name)
        finish(running, 1)
        until_state(refused, "stopped")
        assert "both ends could not be checked for 5.0 s (--retry-for)" in running.read_stderr()
        source_answers.restore()
        again = qmig("qdrant", *refused.arguments, broker=redis.url)
    assert again.returncode == 0, again.stderr
    assert arrived(refused)
