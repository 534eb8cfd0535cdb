"""`qmig list` and `qmig status` show migrations from the ledger alone, for people and as JSON."""

import json
import re
import sys
import time
from collections.abc import Sequence
from typing import Any

import pytest

from qmig.coordinator.follow import STOP_SECONDS
from qmig.embedded.child_process import ChildProcess
from qmig.ledger.ledger import Ledger
from qmig.ledger.owner import Owner
from qmig.ledger.records import ChunkRecord, MigrationRecord, State
from qmig.ledger.stalled import WORKERS_LOST
from qmig.migration import Endpoint, Migration, SourceSpec, TargetSpec
from qmig.monitor.poller import LedgerPoller
from tests.support.command import Run
from tests.support.ends import Ends
from tests.support.migrations import (
    LEISURELY,
    POINTS,
    chunks_of,
    fill_source,
    finish,
    own_fleet,
    owners,
    record_of,
    start,
    until_copied,
    until_state,
)
from tests.support.waiting import until, until_logged

# One for each of two workers, to the end.
TWO_CHUNKS = [*LEISURELY, "--chunk-size", str(POINTS // 2)]
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")
TERMINAL = {"FORCE_COLOR": "1", "COLUMNS": "80", "LINES": "40", "TERM": "xterm-256color"}


def as_json(result: Any) -> Any:
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


@pytest.fixture
def done(ends: Ends, migrate: Run) -> Ends:
    fill_source(ends)
    result = migrate("-c", "--chunk-size", "1500")
    assert result.returncode == 0, result.stderr
    return ends


def test_a_finished_migration_is_listed_with_its_ends_and_its_times(done: Ends, qmig: Run) -> None:
    (one,) = as_json(qmig("list", *done.where, "--json"))

    record = record_of(done)
    assert record is not None
    assert one["id"] == record.migration
    assert one["source"] == {"url": done.source.endpoint.url, "collection": done.source_name}
    assert one["target"] == {"url": done.target.endpoint.url, "collection": done.target_name}
    assert (one["state"], one["points"], one["expected_points"], one["share"]) == ("done", POINTS, POINTS, 1.0)
    assert (one["started"], one["finished"]) == (record.started, record.finished)
    assert (one["points_per_second"], one["eta_seconds"], one["workers"]) == (None, None, [])
    assert one["chunk_map"] == "d" * record.chunks

    printed = qmig("list", *done.where).stdout
    for text in (one["id"][:8], "done", f"{done.source_name} at", f"→ {done.target_name} at", "6,000", "100%"):
        assert text in printed
    assert "\x1b" not in printed


def test_status_says_the_same_as_list(done: Ends, qmig: Run) -> None:
    (listed,) = as_json(qmig("list", *done.where, "--json"))

    assert as_json(qmig("status", *done.where, "--json")) == listed
    assert as_json(qmig("status", listed["id"][:6], *done.where, "--json")) == listed
    printed = qmig("status", *done.where).stdout
    for text in ("done  100%", listed["id"], "6,000 of 6,000 expected", "4 done", "retries    0"):
        assert text in printed
    assert "\x1b" not in printed


def test_the_target_may_come_from_the_environment(done: Ends, qmig: Run) -> None:
    env = {"QMIG_TARGET_URL": done.target.endpoint.url}
    name = ["--migration-offsets-collection-name", done.ledger]

    for command in ("list", "status"):
        assert qmig(command, *name, env=env).stdout == qmig(command, *done.where).stdout


@pytest.mark.parametrize("command", ["list", "status"])
def test_a_terminal_of_80_columns_is_enough(done: Ends, qmig: Run, command: str) -> None:
    result = qmig(command, *done.where, env=TERMINAL)

    assert result.returncode == 0, result.stderr
    assert "\x1b[" in result.stdout
    lines = ESCAPES.sub("", result.stdout).splitlines()
    assert max(map(len, lines)) <= 80
    assert any("6,000" in line for line in lines)
    assert any("done" in line for line in lines)


def test_while_it_runs_status_shows_rate_time_left_and_workers(ends: Ends, qmig: Run) -> None:
    fill_source(ends)
    with own_fleet() as (broker, _):
        running = start(ends, *TWO_CHUNKS, broker=broker.url)
        until(lambda: len(owners(ends)) == 2, "both workers taking a chunk")
        until_copied(ends, 300)
        one = as_json(qmig("status", *ends.where, "--json"))
        printed = qmig("status", *ends.where).stdout
        running.stop(timeout=60)

    assert one["state"] == "running"
    assert 0 < one["points"] < POINTS
    assert one["points_per_second"] > 0
    assert one["bytes_per_second"] > 0
    assert 2 <= one["rate_seconds"] < 10
    assert one["eta_seconds"] > 0
    assert one["chunk_states"]["running"] == 2
    assert len(one["workers"]) == 2
    assert sum(worker["share"] for worker in one["workers"]) == pytest.approx(1.0)
    assert all(worker["chunk"]["state"] == "running" for worker in one["workers"])
    for text in ("points/s", "left ", "2 running", "host/process", f"{one['workers'][0]['host']}/"):
        assert text in printed


def test_a_migration_at_rest_says_why_its_chunks_wait(ends: Ends, qmig: Run) -> None:
    fill_source(ends)
    with own_fleet() as (broker, _):
        running = start(ends, *LEISURELY, broker=broker.url)
        until_copied(ends, 300)
        assert qmig("pause", *ends.where).returncode == 0
        one = as_json(qmig("status", *ends.where, "--json"))
        running.stop(timeout=60)
    assert one["state"] == "paused"
    assert one["waiting_chunks"][-1]["reason"] == "the migration is paused"

    stopped = as_json(qmig("status", *ends.where, "--json"))

    assert stopped["state"] == "stopped"
    assert stopped["waiting_chunks"] == [
        {"chunks": stopped["chunk_states"]["pending"], "reason": "the migration is stopped", "seconds": None}
    ]
    assert (stopped["points_per_second"], stopped["eta_seconds"]) == (None, None)


def test_workers_that_were_all_killed_are_not_shown_as_being_at_work(ends: Ends, qmig: Run) -> None:
    fill_source(ends)
    with own_fleet() as (broker, workers):
        running = start(ends, *TWO_CHUNKS, broker=broker.url)
        until(lambda: len(owners(ends)) == 2, "both workers taking a chunk")
        workers.kill()
        until(lambda: not any(is_at_work(chunk) for chunk in chunks_of(ends)), "every worker having ended")

        until_logged(running, "no worker answers on")
        one = as_json(qmig("status", *ends.where, "--json"))
        began = time.monotonic()
        running.stop(timeout=60)

    assert (one["state"], one["workers"], one["chunk_states"]["running"]) == ("running", [], 2)
    assert {"chunks": 2, "reason": WORKERS_LOST, "seconds": None} in one["waiting_chunks"]
    assert time.monotonic() - began < STOP_SECONDS, "nobody is there to be waited for"


def is_at_work(chunk: ChunkRecord) -> bool:
    return bool(chunk.owner) and not Owner.parse(chunk.owner).is_dead


def test_status_watch_repeats_the_status_until_the_end(ends: Ends) -> None:
    fill_source(ends)
    with own_fleet() as (broker, _):
        running = start(ends, *LEISURELY, broker=broker.url)
        until_copied(ends, 300)
        command = [sys.executable, "-m", "qmig", "status", *ends.where, "--watch", "--json"]
        watching = ChildProcess(command, name="qmig status")
        until_state(ends, State.DONE)
        finish(watching)
        finish(running)

    seen = [json.loads(line) for line in watching.read_stdout().splitlines()]
    points = [one["points"] for one in seen]
    assert len(seen) >= 2
    assert points == sorted(points)
    assert [seen[0]["state"], seen[-1]["state"]] == ["running", "done"]
    assert seen[-1]["points"] == POINTS


class CountingLedger(Ledger):
    """Counts the chunks that are read."""

    read = 0

    def chunks(self, migration: str, indexes: Sequence[int]) -> list[ChunkRecord]:
        self.read += len(indexes)
        return super().chunks(migration, indexes)


def test_the_finished_chunks_of_a_large_plan_are_read_once(ends: Ends) -> None:
    migration = Migration(
        SourceSpec("qdrant", Endpoint("source.invalid", 6334), "large"),
        TargetSpec(ends.target.endpoint, "large", ends.ledger),
    )
    ledger = CountingLedger(ends.target, ends.ledger)
    ledger.create()
    chunks = [
        ChunkRecord(migration.id, index, None, None, None, expected=10, acknowledged=10, state=State.DONE)
        for index in range(19_000)
    ]
    chunks += [ChunkRecord(migration.id, index, None, None, None, expected=10) for index in range(19_000, 20_000)]
    ledger.save_chunks(chunks)
    record = MigrationRecord(migration.id, migration, planned=True, chunks=20_000, expected=200_000)
    ledger.save_migration(record)
    observer = LedgerPoller(ledger)

    (first,) = observer.poll()
    after_first = ledger.read
    assert ledger.change_migration(record, waiting="something")
    claimed = ledger.claim(chunks[19_000], Owner.parse("host/1/2/3/4"))
    (second,) = observer.poll()
    after_second = ledger.read

    assert claimed is not None
    assert (first.points, first.chunk_map) == (190_000, "d" * 19_000 + "w" * 1_000)
    assert after_first == 20_000
    assert (second.chunk_map[18_999:19_002], second.workers[0].process) == ("drw", 1)
    assert after_second - after_first < 100
    assert ledger.change_migration(record, state=State.DONE)
    observer.poll()
    read = ledger.read
    observer.poll()
    assert ledger.read == read


def test_a_plan_with_a_hole_does_not_hide_the_other_migrations(done: Ends, qmig: Run) -> None:
    migration = Migration(
        SourceSpec("qdrant", Endpoint("source.invalid", 6334), "broken"),
        TargetSpec(done.target.endpoint, "broken", done.ledger),
    )
    ledger = Ledger(done.target, done.ledger)
    ledger.save_migration(MigrationRecord(migration.id, migration, chunks=3, started=time.time()))

    good, broken = as_json(qmig("list", *done.where, "--json"))

    assert (good["state"], good["problem"]) == ("done", None)
    assert "lacks 3 chunks" in broken["problem"]
