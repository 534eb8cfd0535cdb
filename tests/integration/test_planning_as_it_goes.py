"""A long plan is written to the ledger while it is made, and any coordinator can continue it."""

import multiprocessing
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, cast

import pytest

from qmig.coordinator.planner import Planner
from qmig.errors import ChunkLostError, TransientError
from qmig.jobs.reconciliation import holes
from qmig.ledger.lease import LEASE_SECONDS
from qmig.ledger.ledger import Ledger
from qmig.ledger.owner import Owner
from qmig.ledger.records import ChunkRecord, MigrationRecord, State
from qmig.migration import Endpoint, Migration, SourceSpec, TargetSpec
from qmig.qdrant.batch import Boundary
from qmig.qdrant.server import Server
from qmig.sources.base import Source
from tests.support.ends import Ends
from tests.support.waiting import PATIENCE

MIGRATION = "6f1b9c52-98a5-5a36-9f0b-64a1d2a0c6d1"
DEFINITION = Migration(SourceSpec("qdrant", Endpoint("a", 1), "a"), TargetSpec(Endpoint("b", 1), "b"))
KEYS = 1000


class Scanned:
    """A source whose boundaries take a scan: `reached` is called before each with the boundary's key."""

    def __init__(self, reached: Callable[[int], Any]) -> None:
        self._reached = reached

    def partitions(self) -> list[str | None]:
        return [None]

    def count(self, partition: str | None, exact: bool) -> int:  # noqa: ARG002
        return KEYS

    def boundaries(self, partition: str | None, pieces: int, start: str | None) -> Iterator[Boundary]:  # noqa: ARG002
        size = KEYS // pieces
        for key in range((int(start) if start else 0) + size, KEYS, size):
            self._reached(key)
            yield Boundary(str(key), size)


def planner(ledger: Ledger, reached: Callable[[int], Any] = lambda _: None) -> Planner:
    record = ledger.migration(MIGRATION)
    assert record is not None
    return Planner(ledger, cast("Source", Scanned(reached)), record)


def begin(url: str, name: str, half_way: Any) -> None:
    """Plan to the middle, and hold the plan until the process is killed."""
    with Server(Endpoint.parse(url, "target"), "target") as server:

        def reached(key: int) -> None:
            if key == 500:
                half_way.set()
                signal.pause()

        mine = planner(Ledger(server, name), reached)
        assert mine.claim()
        mine.begin(100)
        while True:
            mine.go_on(0)


@pytest.fixture
def ledger(ends: Ends) -> Ledger:
    ledger = Ledger(ends.target, ends.ledger)
    ledger.create()
    ledger.save_migration(MigrationRecord(MIGRATION, DEFINITION, State.RUNNING))
    return ledger


def test_chunks_are_there_while_others_are_being_sought(ledger: Ledger) -> None:
    seen: list[int] = []
    mine = planner(ledger, seen.append)
    assert mine.claim()
    mine.begin(100)
    mine.go_on(0)
    record = ledger.migration(MIGRATION)

    assert record is not None
    assert (record.planned, record.expected, record.chunk_size) == (False, KEYS, 100)
    assert 0 < record.chunks == len(seen) < KEYS / 100
    assert len(ledger.chunks(MIGRATION, range(record.chunks))) == record.chunks


def test_a_killed_coordinators_plan_is_continued_after_its_last_boundary(ledger: Ledger) -> None:
    context = multiprocessing.get_context("spawn")
    half_way = context.Event()
    process = context.Process(target=begin, args=(ledger.server.endpoint.url, ledger.name, half_way))
    process.start()
    assert half_way.wait(PATIENCE)
    mine = planner(ledger)
    assert not mine.claim(), "two at one plan"
    process.kill()
    process.join()
    before = ledger.migration(MIGRATION)
    assert before is not None
    kept = ledger.chunks(MIGRATION, range(before.chunks))
    assert kept

    assert mine.claim()
    mine.begin(333)
    while not mine.planned:
        mine.go_on(1.0)

    record = ledger.migration(MIGRATION)
    assert record is not None
    assert (record.planned, record.chunks, record.chunk_size) == (True, 10, 100)
    chunks = ledger.chunks(MIGRATION, range(10))
    assert chunks[: len(kept)] == kept
    assert holes(chunks) == []


def test_a_coordinator_that_lost_the_lease_on_its_plan_writes_nothing_more(ledger: Ledger) -> None:
    mine = planner(ledger)
    assert mine.claim()
    mine.begin(100)
    mine.go_on(0)
    before = ledger.migration(MIGRATION)
    # Another coordinator saw the lease expire.
    assert ledger.claim(ledger.plan(MIGRATION), Owner.parse("elsewhere/1/0/0/0")) is not None

    with pytest.raises(ChunkLostError):
        mine.go_on(10.0)

    assert ledger.migration(MIGRATION) == before


def test_a_page_that_comes_after_another_coordinator_has_planned_on_resets_nothing(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = planner(ledger)
    assert slow.claim()
    slow.begin(100)
    save, late = ledger.save_chunks, []
    monkeypatch.setattr(ledger, "save_chunks", late.append)
    # Its page is under way when its lease expires, and so is the count of its chunks.
    change = ledger.change_plan
    counts: list[tuple[ChunkRecord, dict[str, Any]]] = []

    def count_later(plan: ChunkRecord, **changes: Any) -> MigrationRecord | None:
        counts.append((plan, changes))
        return ledger.migration(MIGRATION)

    monkeypatch.setattr(ledger, "change_plan", count_later)
    slow.go_on(10.0)
    monkeypatch.undo()

    other = planner(ledger)
    now = time.monotonic()
    monkeypatch.setattr("qmig.coordinator.planner.time.monotonic", lambda: now)
    assert ledger.claim(ledger.plan(MIGRATION), Owner.parse("elsewhere/1/0/0/0")) is not None
    other.claim()
    now += LEASE_SECONDS
    assert other.claim()
    other.begin(100)
    other.go_on(0)
    (first, *_) = other_chunks = ledger.chunks(MIGRATION, range(other.chunks))
    done = ledger.claim(first, Owner.parse("worker/1/0/0/0"))
    assert done is not None
    done = ledger.change(done, state=State.DONE, owner="")
    record = ledger.migration(MIGRATION)

    save(late[0])
    assert change(counts[0][0], **counts[0][1]) is None

    assert ledger.migration(MIGRATION) == record
    assert ledger.chunks(MIGRATION, range(other.chunks)) == [done, *other_chunks[1:]]
    while not other.planned:
        other.go_on(1.0)
    assert holes(ledger.chunks(MIGRATION, range(other.chunks))) == []


def test_a_record_that_another_command_has_written_is_not_replaced(ledger: Ledger) -> None:
    before = ledger.migration(MIGRATION)

    assert not ledger.save_migration(MigrationRecord(MIGRATION, DEFINITION, State.PREPARING, run="late"))

    assert ledger.migration(MIGRATION) == before


def test_an_older_target_that_ignores_the_condition_of_an_upsert(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before 1.17 the ledger looks first, and sends only what may be written."""
    monkeypatch.setattr("qmig.ledger.collection.server_version", lambda _: "1.16.3")
    first, second = (ChunkRecord(MIGRATION, index, None, None, None, planner=2) for index in range(2))
    ledger.save_chunks([first])

    ledger.save_chunks([replace(first, end="5", planner=1), replace(second, planner=1)])
    ledger.save_chunks([replace(first, end="6", planner=2), second])

    assert ledger.chunks(MIGRATION, [0, 1]) == [first, second]


def test_a_plan_that_could_not_be_recorded_does_not_count_as_complete(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = planner(ledger)
    assert mine.claim()
    mine.begin(100)

    def unavailable(_: object) -> None:
        raise TransientError("the target is unavailable")

    monkeypatch.setattr(ledger, "save_chunks", unavailable)
    with pytest.raises(TransientError):
        mine.go_on(10.0)
    monkeypatch.undo()
    assert not mine.planned
    assert not planner(ledger).claim(), "two at one plan"

    assert mine.claim()
    mine.begin(100)
    mine.go_on(10.0)
    record = ledger.migration(MIGRATION)
    assert record is not None
    assert (mine.planned, record.planned, record.chunks) == (True, True, 10)
    assert holes(ledger.chunks(MIGRATION, range(10))) == []


def test_a_plan_keeps_its_owner_while_the_ledger_is_unavailable(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ledger.claim(ledger.plan(MIGRATION), Owner.parse("elsewhere/1/0/0/0")) is not None
    other, now = planner(ledger), time.monotonic()
    monkeypatch.setattr("qmig.coordinator.planner.time.monotonic", lambda: now)
    assert not other.claim()

    def unavailable(_: object) -> None:
        raise TransientError("the target is unavailable")

    with monkeypatch.context() as patched:
        patched.setattr(ledger, "plan", unavailable)
        with pytest.raises(TransientError):
            other.claim()
    now += LEASE_SECONDS
    assert not other.claim()

    now += LEASE_SECONDS
    assert other.claim()
