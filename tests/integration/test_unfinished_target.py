"""A target that a load has left unfinished is put back by whoever finds it, with or without its ledger."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from qmig.coordinator.follow import Follower
from qmig.errors import LedgerLostError, TerminalError
from qmig.ledger.cancel import cancel
from qmig.ledger.ledger import Ledger
from qmig.ledger.records import MigrationRecord, State
from qmig.monitor.poller import LedgerPoller
from qmig.monitor.reader import ProgressReader
from qmig.qdrant import messages as api
from qmig.qdrant.payload import from_payload, to_payload
from tests.support.collections import create, delete, dense_params, exists, fill, simple_points
from tests.support.command import Run
from tests.support.ends import Ends
from tests.support.migrations import (
    LEISURELY,
    SLOWLY,
    arrived,
    finish,
    own_fleet,
    record_of,
    start,
    state_of,
    until_copied,
)
from tests.support.records import set_fields
from tests.support.target_settings import debt_of, indexing_threshold, is_final, target_config
from tests.support.views import SilentView
from tests.support.waiting import until_logged

#: How a worker copies the source in about 25 seconds.
FOR_25_SECONDS = [*LEISURELY, "-b", "5", "--batch-delay", "400"]
METADATA = {"owner": "search team", "tags": ["a", "b"]}


@pytest.fixture
def source_points() -> int:
    return 300


@pytest.fixture
def unfinished(filled: Ends, plan_only: Callable[..., None]) -> MigrationRecord:
    """A migration that was stopped when its target was created and nothing copied."""
    plan_only("-c", "--chunk-size", "100")
    assert indexing_threshold(filled) == 0
    record = record_of(filled)
    assert record is not None
    assert set(debt_of(filled).loads) == {record.migration}
    return record


@pytest.mark.parametrize("state", [State.PREPARING, State.RUNNING, State.PAUSED, State.STOPPED, State.FAILED])
def test_any_migration_that_is_not_done_can_be_cancelled_without_workers(
    filled: Ends, unfinished: MigrationRecord, qmig: Run, state: State
) -> None:
    set_fields(Ledger(filled.target, filled.ledger), unfinished.migration, state=state)

    result = qmig("cancel", *filled.where)

    assert result.returncode == 0, result.stderr
    assert "is cancelled" in result.stdout
    assert is_final(filled)
    record = record_of(filled)
    assert record is not None
    assert (record.state, record.final_settings) == (State.CANCELLED, None)
    assert record.finished is not None
    again = qmig("cancel", *filled.where)
    assert again.returncode == 0, again.stderr
    assert "had been cancelled before" in again.stdout
    assert record_of(filled) == record


def test_a_cancel_that_was_killed_between_its_steps_is_finished_by_the_next(
    filled: Ends, unfinished: MigrationRecord
) -> None:
    ledger = Ledger(filled.target, filled.ledger)
    set_fields(ledger, unfinished.migration, state=State.CANCELLED)
    seen = replace(unfinished, state=State.CANCELLED)
    assert cancel(ledger, seen)
    assert is_final(filled)
    record = record_of(filled)
    assert record is not None
    assert record.finished is not None


def test_a_view_of_a_migration_that_nobody_ends_does_not_wait_for_ever(
    filled: Ends, unfinished: MigrationRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = Ledger(filled.target, filled.ledger)
    set_fields(ledger, unfinished.migration, state=State.CANCELLED)
    monkeypatch.setattr("qmig.coordinator.follow.CANCEL_SECONDS", 0.5)
    follower = Follower(ProgressReader(ledger, unfinished.migration), None, SilentView())
    waits: list[float] = []
    with pytest.raises(TerminalError, match=f"`qmig cancel {unfinished.migration}` does so"):
        follower.follow(lambda seconds: waits.append(seconds) if len(waits) < 1_000_000 else pytest.fail("it waits"))


@pytest.mark.usefixtures("unfinished")
def test_a_done_migration_is_not_cancelled(filled: Ends, migrate: Run, qmig: Run) -> None:
    assert migrate().returncode == 0
    result = qmig("cancel", *filled.where)
    assert result.returncode == 2
    assert "is done and cannot be cancelled" in result.stderr
    assert state_of(filled) == State.DONE


def test_a_lost_ledger_is_named_by_status_and_its_target_put_back_by_cancel(
    filled: Ends, unfinished: MigrationRecord, qmig: Run
) -> None:
    delete(filled.target, filled.ledger)

    status = qmig("status", *filled.where)
    assert status.returncode == 1
    assert f"a load left '{filled.target_name}' unfinished" in status.stderr
    assert f"`qmig cancel {unfinished.migration[:8]}` puts the settings back" in status.stderr
    assert indexing_threshold(filled) == 0

    result = qmig("cancel", unfinished.migration[:8], *filled.where)
    assert result.returncode == 0, result.stderr
    assert f"the settings of '{filled.target_name}' were put back" in result.stdout
    assert is_final(filled)
    assert not exists(filled.target, filled.ledger)


def test_the_same_command_begins_anew_after_its_ledger_was_lost_and_says_so(
    filled: Ends, unfinished: MigrationRecord, migrate: Run
) -> None:
    delete(filled.target, filled.ledger)

    result = migrate("-c", "--chunk-size", "100")

    assert result.returncode == 0, result.stderr
    assert "has left the target" in result.stderr
    assert "it begins anew" in result.stderr
    assert is_final(filled)
    assert arrived(filled)
    record = record_of(filled)
    assert record is not None
    assert (record.migration, record.created_target) == (unfinished.migration, True)


def test_another_migration_puts_back_what_a_load_left_unfinished(
    filled: Ends, unfinished: MigrationRecord, make_ends: Callable[[], Ends], qmig: Run, fleet: str
) -> None:
    """The other one has another ledger, and does not create the target."""
    other = replace(make_ends(), target_name=filled.target_name)
    create(other.source, other.source_name, dense_params())
    fill(other.source, other.source_name, simple_points(100, 1000))

    result = qmig("qdrant", *other.arguments, broker=fleet)

    assert result.returncode == 0, result.stderr
    assert f"migration {unfinished.migration[:8]} loads the target" in result.stderr
    assert "its vector index is off" in result.stderr
    assert is_final(filled)


def test_the_metadata_of_the_user_is_copied_and_kept(ends: Ends, migrate: Run, qmig: Run, fleet: str) -> None:
    create(ends.source, ends.source_name, dense_params(), metadata=to_payload(METADATA))
    fill(ends.source, ends.source_name, simple_points(100))
    result = migrate("-c")
    assert result.returncode == 0, result.stderr
    assert from_payload(target_config(ends).metadata) == METADATA
    verified = qmig("verify", *ends.where, broker=fleet)
    assert verified.returncode == 0, verified.stderr


def test_a_source_that_is_loaded_itself_gives_the_target_its_final_settings(
    filled: Ends, unfinished: MigrationRecord, make_ends: Callable[[], Ends], qmig: Run, fleet: str
) -> None:
    """The target of one migration is the source of another."""
    copy = make_ends()
    copy = replace(copy, source=filled.target, source_name=filled.target_name)

    result = qmig("qdrant", *copy.arguments, "-c", broker=fleet)

    assert result.returncode == 0, result.stderr
    assert f"migration {unfinished.migration[:8]} loads the source collection" in result.stderr
    assert is_final(copy)
    assert indexing_threshold(filled) == 0


@pytest.mark.parametrize("lost", ["ledger", "record"])
def test_a_ledger_that_is_deleted_in_mid_run_ends_the_migration_and_puts_the_target_back(
    filled: Ends, lost: str, qmig: Run
) -> None:
    with own_fleet() as (broker, workers):
        running = start(filled, *FOR_25_SECONDS, broker=broker.url)
        until_copied(filled, 10)
        record = record_of(filled)
        assert record is not None
        if lost == "ledger":
            delete(filled.target, filled.ledger)
        else:
            ids = api.PointsIdsList(ids=[api.PointId(uuid=record.migration)])
            Ledger(filled.target, filled.ledger).delete(api.PointsSelector(points=ids))
        finish(running, 1)
        said = running.read_stderr()
        assert f"the ledger '{filled.ledger}' at" in said
        assert ("was deleted" if lost == "ledger" else "has lost the record") in said
        assert "Traceback" not in said
        assert is_final(filled)

        again = qmig("qdrant", *filled.arguments, *SLOWLY, broker=broker.url)
        assert again.returncode == 0, again.stderr
        assert "Traceback" not in workers.read_stderr()
    assert arrived(filled)
    assert is_final(filled)


def test_the_fleet_puts_the_target_back_when_the_ledger_is_gone_and_no_command_follows(
    filled: Ends, qmig: Run
) -> None:
    with own_fleet() as (broker, workers):
        assert qmig("qdrant", *filled.arguments, *FOR_25_SECONDS, "--detach", broker=broker.url).returncode == 0
        until_copied(filled, 10)
        delete(filled.target, filled.ledger)
        until_logged(workers, "was deleted or lost the record")
    assert is_final(filled)


def test_the_page_and_a_watched_status_say_that_the_ledger_is_gone(filled: Ends, unfinished: MigrationRecord) -> None:
    ledger = Ledger(filled.target, filled.ledger)
    pollers = [LedgerPoller(ledger), LedgerPoller(ledger, unfinished.migration)]
    for poller in pollers:
        assert [status.id for status in poller.poll()] == [unfinished.migration]
    delete(filled.target, filled.ledger)
    for poller in pollers:
        with pytest.raises(LedgerLostError, match=f"the ledger '{filled.ledger}' at .* was deleted"):
            poller.poll()
