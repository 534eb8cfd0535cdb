"""A verification can be begun from any host, stopped and resumed, and is shown like a migration."""

import sys
from collections.abc import Callable

from qmig.embedded.child_process import ChildProcess
from qmig.ledger.ledger import Ledger
from qmig.ledger.records import ChunkRecord
from qmig.monitor.progress import Progress
from tests.support.collections import delete_points, simple_points
from tests.support.command import Run
from tests.support.ends import Ends
from tests.support.migrations import SLOWLY, fill_source, record_of
from tests.support.verification import found, overwrite, with_payload
from tests.support.waiting import until, until_logged


def verified(ends: Ends) -> list[ChunkRecord]:
    """The chunks of the verification of the one migration."""
    ledger, record = Ledger(ends.target, ends.ledger), record_of(ends)
    assert record is not None
    found = ledger.migration(record.definition.verification_id)
    return ledger.chunks(found.migration, range(found.chunks)) if found is not None else []


def test_a_migration_verifies_itself_when_asked(ends: Ends, migrate: Run) -> None:
    fill_source(ends, 100)
    result = migrate("-c", "--verify")
    assert result.returncode == 0, result.stderr
    assert "all 100 points are in the target" in result.stdout
    assert "100 points compared: all of them equal" in result.stdout

    overwrite(ends, with_payload(9, number=9.0))
    result = migrate("-c", "--verify")
    assert result.returncode == 4
    assert "different 1: 9\n" in result.stdout


def test_verify_starts_workers_of_its_own_without_a_broker(migrated: Ends, qmig: Run) -> None:
    result = qmig("verify", *migrated.where, "--workers", "1")
    assert result.returncode == 0, result.stderr
    assert "all of them equal" in result.stdout


def test_a_migration_is_named_by_its_id_or_by_its_ends(make_ends: Callable[[], Ends], qmig: Run, fleet: str) -> None:
    one, two = make_ends(), make_ends()
    for ends, points in ((one, 10), (two, 20)):
        fill_source(ends, points)
        arguments = [*ends.arguments[:-1], one.ledger, "-c"]
        assert qmig("qdrant", *arguments, broker=fleet).returncode == 0
    records = {record.title: record.migration for record in Ledger(one.target, one.ledger).migrations()}

    result = qmig("verify", *one.where, broker=fleet)
    assert result.returncode == 2
    assert all(migration[:8] in result.stderr for migration in records.values())

    by_ends = ["--source-url", two.source.endpoint.url, "--source-collection", two.source_name]
    result = qmig("verify", *one.where, *by_ends, "--target-collection", two.target_name, broker=fleet)
    assert "20 points compared" in result.stdout
    beginning = records[f"{one.source_name} → {one.target_name}"][:10]
    assert "10 points compared" in qmig("verify", *one.where, beginning, broker=fleet).stdout
    result = qmig("verify", *one.where, "--source-collection", "another", broker=fleet)
    assert result.returncode == 2
    assert "there is no migration with this source and target" in result.stderr


def test_a_migration_that_is_not_finished_is_not_verified(
    ends: Ends, plan_only: Callable[..., None], verify: Run
) -> None:
    fill_source(ends, 100)
    plan_only("-c")
    result = verify()
    assert result.returncode == 2
    assert "is stopped; verify it when it is done" in result.stderr


def test_a_verification_that_is_killed_resumes_at_its_offsets(ends: Ends, migrate: Run, verify: Run) -> None:
    fill_source(ends, 20_000)
    assert migrate(*SLOWLY[:3], "-b", "20").returncode == 0
    delete_points(ends.target, ends.target_name, 5, 19_999)
    command = [sys.executable, "-m", "qmig", "verify", *ends.where, "--workers", "1"]
    process = ChildProcess(command, name="qmig verify")
    until(lambda: Progress.of(verified(ends)).points > 2000, "2000 points compared")
    process.kill()
    process.wait()
    done = {chunk.index for chunk in verified(ends) if chunk.finished}
    assert len(done) < len(verified(ends))

    result = verify("--json")

    assert result.returncode == 4
    assert found(result)["missing"]["ids"] == ["5", "19999"]
    assert found(result)["compared"] == 20_000
    assert any(chunk.claims > 1 or chunk.index in done for chunk in verified(ends))
    assert all(chunk.claims == 1 for chunk in verified(ends) if chunk.index in done)
    # Finished, it begins again.
    points = simple_points(20_000)
    overwrite(ends, points[5], points[19_999])
    assert verify().returncode == 0


def test_a_verification_with_other_options_does_not_resume_a_running_one(
    migrated: Ends, verify: Run, idle_broker: str
) -> None:
    command = [sys.executable, "-m", "qmig", "verify", *migrated.where]
    process = ChildProcess(command, name="qmig verify", env={"QMIG_BROKER_URL": idle_broker})
    until_logged(process, "chunks")
    until(lambda: bool(verified(migrated)), "its plan")
    result = verify("--extra")
    process.kill()
    process.wait()
    assert result.returncode == 2
    assert "a verification of this migration with other options is running" in result.stderr
    assert verify().returncode == 0


def test_status_attach_and_another_migrate_know_a_verification(
    migrated: Ends, verify: Run, qmig: Run, migrate: Run
) -> None:
    delete_points(migrated.target, migrated.target_name, 7)
    verify()
    record = record_of(migrated)
    assert record is not None
    verification = record.definition.verification_id
    status = qmig("status", *migrated.where, verification).stdout
    assert f"verify {record.title}  done" in status
    assert "1 missing" in status
    attached = qmig("attach", *migrated.where, verification)
    assert "missing 1: 7\n" in attached.stdout
    again = migrate("-c", "--restart-migration")
    assert again.returncode == 0, again.stderr
    assert verify().returncode == 0
