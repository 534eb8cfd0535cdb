"""The ledger's records stay correct when two processes change one of them, or one process is late."""

import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace

import pytest

from qmig.broker.access import AccessGrant
from qmig.broker.fleet import Fleet
from qmig.broker.task import MigrationTask
from qmig.coordinator.run import new_run
from qmig.errors import (
    ChunkLostError,
    MissingKindError,
    NotFoundError,
    QmigError,
    TerminalError,
    TransientError,
    UsageError,
)
from qmig.jobs.supervisor import Supervisor
from qmig.ledger.cancel import cancel
from qmig.ledger.control import pause, resume
from qmig.ledger.lease import Lease
from qmig.ledger.ledger import Ledger
from qmig.ledger.owner import NOBODY, Owner
from qmig.ledger.reconciliation import Reconciliation
from qmig.ledger.records import ChunkRecord, MigrationRecord, RecordKind, State, chunk_id
from qmig.migration import Credentials, Migration, SourceSpec, TargetSpec
from qmig.qdrant import messages as api
from qmig.qdrant.ids import digest, raw_id_of
from tests.support.collections import create, dense_params, fill, simple_points
from tests.support.ends import Ends
from tests.support.records import set_fields

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
    ledger.save(RecordKind.CHUNK, [seen])
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

    ledger.reopen(replace(record, run="second", chunks=1502))

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
    monkeypatch.setattr("qmig.jobs.ending.COMPARE_SECONDS", 0.0)
    ledger.save(RecordKind.CHUNK, [copied(record, 0, 0, 3), copied(record, 1, 3, 8), copied(record, 2, 8, POINTS)])
    set_fields(ledger, record.migration, chunks=3)

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
    ledger: Ledger, record: MigrationRecord, supervisor: Supervisor, idle_broker: str
) -> None:
    access = AccessGrant.of(record.definition, Credentials())
    task = MigrationTask(migration=record.migration, access=access.to_text())
    supervisor.run_once()
    first = ledger.migration(record.migration)
    assert first is not None
    set_fields(ledger, record.migration, **{**new_run(first), "run": "first"})
    with Fleet(idle_broker) as fleet:
        fleet.registry.register(task)

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
        ledger.save(RecordKind.MIGRATION, [again])
        return Reconciliation(read=POINTS, errors=errors)

    monkeypatch.setattr("qmig.jobs.ending.reconcile", begun_again_meanwhile)

    assert "begun again meanwhile" in supervisor.run_once()

    assert ledger.migration(record.migration) == again


def test_a_pause_while_counts_are_reconciled_holds(
    ledger: Ledger, record: MigrationRecord, supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def paused_meanwhile(*_: object) -> Reconciliation:
        pause(ledger, record)
        return Reconciliation(read=POINTS)

    monkeypatch.setattr("qmig.jobs.ending.reconcile", paused_meanwhile)
    supervisor.run_once()
    now = ledger.migration(record.migration)
    assert now is not None
    assert now.state == State.PAUSED


def test_a_defect_in_the_reconciliation_is_named_and_ends_the_migration(
    ledger: Ledger, record: MigrationRecord, supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def defect(*_: object) -> Reconciliation:
        raise KeyError("a defect")

    monkeypatch.setattr("qmig.jobs.ending.reconcile", defect)
    with pytest.raises(KeyError):
        supervisor.run_once()
    now = ledger.migration(record.migration)
    assert now is not None
    assert (now.state, now.error) == (State.FAILED, "unexpected KeyError: 'a defect'")


def test_a_finished_migration_is_not_cancelled_by_one_who_saw_it_running(
    ledger: Ledger, record: MigrationRecord
) -> None:
    assert ledger.change_migration(record, state=State.DONE, finished=time.time())
    with pytest.raises(UsageError, match="was not cancelled"):
        cancel(ledger, record)
    now = ledger.migration(record.migration)
    assert now is not None
    assert now.state == State.DONE


# Errors in supervision


def delete_record(ledger: Ledger, record: str) -> None:
    ledger.delete(api.PointsSelector(points=api.PointsIdsList(ids=[api.PointId(uuid=record)])))


def test_a_plan_with_a_hole_ends_the_migration_with_its_text(
    ledger: Ledger, record: MigrationRecord, supervisor: Supervisor
) -> None:
    delete_record(ledger, chunk_id(record.migration, 0))

    assert "lacks 1 chunks" in supervisor.run_once()

    now = ledger.migration(record.migration)
    assert now is not None
    assert now.state == State.FAILED
    assert "lacks 1 chunks" in (now.error or "")
    assert "--restart-migration" in (now.error or "")


@pytest.mark.parametrize("step", ["_queue_new", "_requeue"])
@pytest.mark.parametrize(
    ("error", "text"),
    [
        (NotFoundError("the target has no such call"), "the target has no such call"),
        (KeyError("a defect"), "unexpected KeyError: 'a defect'"),
    ],
)
def test_a_terminal_error_in_any_step_ends_the_migration(
    ledger: Ledger,
    record: MigrationRecord,
    supervisor: Supervisor,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    error: Exception,
    text: str,
) -> None:
    def fail(*_: object) -> int:
        raise error

    monkeypatch.setattr(supervisor, step, fail)
    with nullcontext() if isinstance(error, NotFoundError) else pytest.raises(KeyError):
        supervisor.run_once()
    now = ledger.migration(record.migration)
    assert now is not None
    assert (now.state, now.error) == (State.FAILED, text)


@pytest.mark.parametrize("error", [TransientError("the broker is away"), MissingKindError("no such package here")])
def test_an_error_that_another_worker_may_not_have_ends_nothing(
    ledger: Ledger,
    record: MigrationRecord,
    supervisor: Supervisor,
    monkeypatch: pytest.MonkeyPatch,
    error: QmigError,
) -> None:
    def fail(*_: object) -> Reconciliation:
        raise error

    monkeypatch.setattr("qmig.jobs.ending.reconcile", fail)
    with pytest.raises(type(error)):
        supervisor.run_once()
    now = ledger.migration(record.migration)
    assert now is not None
    assert (now.state, now.error, now.waiting) == (State.RUNNING, None, str(error))


def test_a_record_that_cannot_be_read_is_not_supervised_for_ever(
    ledger: Ledger, record: MigrationRecord, supervisor: Supervisor, idle_broker: str
) -> None:
    set_fields(ledger, record.migration, state="no such state")
    with Fleet(idle_broker) as fleet:
        assert fleet.registry.registration(record.migration) is not None
        with pytest.raises(TerminalError, match=record.migration):
            supervisor.run_once()
        assert fleet.registry.registration(record.migration) is None


def test_a_migration_that_the_ledger_has_lost_is_given_up(
    ledger: Ledger, record: MigrationRecord, supervisor: Supervisor, idle_broker: str
) -> None:
    delete_record(ledger, record.migration)
    assert "is not in the ledger" in supervisor.run_once()
    assert ledger.migration(record.migration) is None
    with Fleet(idle_broker) as fleet:
        assert fleet.registry.registration(record.migration) is None


def test_a_worker_whose_chunk_was_deleted_does_not_write_it_again(ledger: Ledger, record: MigrationRecord) -> None:
    chunk = ChunkRecord(record.migration, 1, None, None, None)
    ledger.save_chunks([chunk])
    claimed = ledger.claim(chunk, Owner.parse("host/1/2/3/4"))
    assert claimed is not None
    lease = Lease(ledger, claimed, None, lambda: False, lambda *_: None)
    delete_record(ledger, claimed.id)

    with pytest.raises(ChunkLostError, match="no longer in the ledger"):
        lease.finish(State.DONE)
    assert ledger.claim(chunk, Owner.parse("host/5/2/3/4")) is None
    assert ledger.chunk_and_migration(record.migration, 1)[0] is None
