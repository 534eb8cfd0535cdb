"""The ledger's records stay correct when two processes change one of them, or one process is late."""

import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from qmig.broker.access import AccessGrant
from qmig.broker.fleet import Fleet
from qmig.broker.task import MigrationTask
from qmig.coordinator.run import new_run
from qmig.errors import UsageError
from qmig.jobs.supervisor import Supervisor
from qmig.ledger.control import cancel, pause, resume
from qmig.ledger.ledger import Ledger
from qmig.ledger.owner import NOBODY, Owner
from qmig.ledger.reconciliation import Reconciliation
from qmig.ledger.records import ChunkRecord, MigrationRecord, State
from qmig.migration import Credentials, Migration, SourceSpec, TargetSpec
from qmig.qdrant.ids import digest, raw_id_of
from tests.support.collections import create, dense_params, fill, simple_points
from tests.support.ends import Ends

POINTS = 10


@pytest.fixture
def migration(ends: Ends) -> Migration:
    for server, name in ((ends.source, ends.source_name), (ends.target, ends.target_name)):
        create(server, name, dense_params())
        fill(server, name, simple_points(POINTS))
    source = SourceSpec("qdrant", ends.source.endpoint, ends.source_name)
    return Migration(source, TargetSpec(ends.target.endpoint, ends.target_name, ends.ledger))


@pytest.fixture
def record(migration: Migration) -> MigrationRecord:
    return MigrationRecord(migration.id, migration, run="first", planned=True, chunks=1, expected=POINTS)


@pytest.fixture
def ledger(ends: Ends, record: MigrationRecord) -> Ledger:
    """Of one migration, whose only chunk is done."""
    ledger = Ledger(ends.target, ends.ledger)
    ledger.create()
    ledger.save_migration(record)
    ledger.save_chunks([copied(record, 0, 0, POINTS)])
    return ledger


def copied(record: MigrationRecord, index: int, first: int, last: int) -> ChunkRecord:
    """A chunk with the points from `first` on, before `last`, that is done."""
    start, end = str(first) if first else None, str(last) if last < POINTS else None
    ids = b"".join(raw_id_of(str(key)) for key in range(first, last))
    counts = {"expected": last - first, "read": last - first, "acknowledged": last - first}
    return ChunkRecord(
        record.migration, index, None, start, end, state=State.DONE, claims=1, ids_digest=digest(ids), **counts
    )


def test_a_claim_that_comes_late_leaves_a_finished_chunk_alone(ledger: Ledger, record: MigrationRecord) -> None:
    (done,) = ledger.chunks(record.migration, [0])
    seen = replace(done, state=State.PENDING, read=0, acknowledged=0, claims=0)

    assert ledger.claim(seen, Owner.parse("host/1/2/3/4")) is None

    assert ledger.chunks(record.migration, [0]) == [done]


def test_a_claim_whose_answer_was_lost_is_the_owners(ledger: Ledger, record: MigrationRecord) -> None:
    (done,) = ledger.chunks(record.migration, [0])
    seen = replace(done, state=State.PENDING)
    ledger.save_chunks([seen])
    set_payload, lost = ledger._set, []

    def twice(*arguments: object) -> None:
        set_payload(*arguments)  # type: ignore[arg-type]
        set_payload(*arguments)  # type: ignore[arg-type]
        lost.append(arguments)

    ledger._set = twice  # type: ignore[assignment]
    claimed = ledger.claim(seen, Owner.parse("host/1/2/3/4"))
    assert lost
    assert claimed is not None
    assert (claimed.owner, claimed.claims) == ("host/1/2/3/4", seen.claims + 1)


def test_every_failed_chunk_waits_again_however_many_there_are(ledger: Ledger, record: MigrationRecord) -> None:
    failed = [
        ChunkRecord(record.migration, index, None, None, None, state=State.FAILED, offset=str(index), error="no")
        for index in range(1, 1502)
    ]
    ledger.save_chunks(failed)

    ledger.reopen(ledger.chunks_in(record.migration, State.FAILED))

    wanted = [replace(chunk, state=State.PENDING, owner=NOBODY, error=None) for chunk in failed]
    assert ledger.chunks(record.migration, range(1, 1502)) == wanted


# The end of a migration


@pytest.fixture
def supervisor(ledger: Ledger, migration: Migration, idle_broker: str) -> Iterator[Supervisor]:
    access = AccessGrant.of(migration, Credentials())
    task = MigrationTask(migration=migration.id, access=access.to_text())
    with Fleet(idle_broker) as fleet:
        fleet.registry.register(task)
        fleet.registry.save_queued_chunks("first", 1)
        yield Supervisor(ledger, fleet, task, access)


def test_the_end_is_written(ledger: Ledger, record: MigrationRecord, supervisor: Supervisor) -> None:
    assert supervisor.run_once() == "done: all 10 points are in the target"
    ended = ledger.migration(record.migration)
    assert ended is not None
    assert ended.reconciliation is not None
    assert (ended.state, ended.reconciliation.read) == (State.DONE, POINTS)


def test_ids_are_compared_step_by_step_through_a_pause_and_by_any_worker(
    ledger: Ledger, record: MigrationRecord, supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qmig.jobs.supervisor.COMPARE_SECONDS", 0.0)
    ledger.save_chunks([copied(record, 0, 0, 3), copied(record, 1, 3, 8), copied(record, 2, 8, POINTS)])
    ledger.update_migration(record.migration, chunks=3)

    assert supervisor.run_once() == "compared 3 ids of the source with the target's"

    seen = ledger.migration(record.migration)
    assert seen is not None
    assert seen.comparison is not None
    assert (seen.state, seen.comparison.chunk, seen.comparison.ids) == (State.RUNNING, 1, 3)
    pause(ledger, seen)
    assert supervisor.run_once() == "nothing to do: the migration is paused"
    paused = ledger.migration(record.migration)
    assert paused is not None
    resume(ledger, paused)
    assert supervisor.run_once() == "compared 8 ids of the source with the target's"
    assert supervisor.run_once() == "done: all 10 points are in the target"


def test_a_command_that_finds_a_migration_done_leaves_the_time_of_its_end(
    ledger: Ledger, record: MigrationRecord, supervisor: Supervisor
) -> None:
    supervisor.run_once()
    first = ledger.migration(record.migration)
    assert first is not None
    ledger.update_migration(record.migration, **{**new_run(first), "run": "first"})

    assert supervisor.run_once().startswith("done: all 10 ids of the source are in the target; contents were not")

    again = ledger.migration(record.migration)
    assert again is not None
    assert first.finished is not None
    assert (again.state, again.finished) == (State.DONE, first.finished)


@pytest.mark.parametrize("errors", [[], ["some are missing"]], ids=["sound", "wanting"])
def test_counts_of_an_earlier_run_do_not_end_a_migration_that_was_begun_again(
    ledger: Ledger,
    record: MigrationRecord,
    supervisor: Supervisor,
    monkeypatch: pytest.MonkeyPatch,
    errors: list[str],
) -> None:
    again = replace(record, run="second", planned=False, chunks=0, expected=0)

    def begun_again_meanwhile(*_: object) -> Reconciliation:
        ledger.save_migration(again)
        return Reconciliation(read=POINTS, errors=errors)

    monkeypatch.setattr("qmig.jobs.supervisor.reconcile", begun_again_meanwhile)

    assert "begun again meanwhile" in supervisor.run_once()

    assert ledger.migration(record.migration) == again


def test_a_pause_while_counts_are_reconciled_holds(
    ledger: Ledger, record: MigrationRecord, supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def paused_meanwhile(*_: object) -> Reconciliation:
        pause(ledger, record)
        return Reconciliation(read=POINTS)

    monkeypatch.setattr("qmig.jobs.supervisor.reconcile", paused_meanwhile)
    supervisor.run_once()
    now = ledger.migration(record.migration)
    assert now is not None
    assert now.state == State.PAUSED


def test_a_defect_in_the_reconciliation_is_named_and_ends_the_migration(
    ledger: Ledger, record: MigrationRecord, supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def defect(*_: object) -> Reconciliation:
        raise KeyError("a defect")

    monkeypatch.setattr("qmig.jobs.supervisor.reconcile", defect)
    with pytest.raises(KeyError):
        supervisor.run_once()
    now = ledger.migration(record.migration)
    assert now is not None
    assert (now.state, now.error) == (State.FAILED, "unexpected KeyError: 'a defect'")


def test_a_finished_migration_is_not_cancelled_by_one_who_saw_it_running(
    ledger: Ledger, record: MigrationRecord
) -> None:
    ledger.update_migration(record.migration, state=State.DONE, finished=time.time())
    with pytest.raises(UsageError, match="was not cancelled"):
        cancel(ledger, record)
    now = ledger.migration(record.migration)
    assert now is not None
    assert now.state == State.DONE
