"""`--repair` copies missing and different points again, and nothing else."""

from tests.support.collections import contents, delete_points, fill, simple_points
from tests.support.command import Run
from tests.support.ends import Ends
from tests.support.verification import found, overwrite, with_payload


def test_repair_copies_missing_and_different_points_and_nothing_else(migrated: Ends, verify: Run) -> None:
    before = contents(migrated.source, migrated.source_name)
    delete_points(migrated.target, migrated.target_name, *range(100, 200))
    overwrite(migrated, with_payload(9, number=9.0), with_payload(1499, title="other"))
    fill(migrated.target, migrated.target_name, simple_points(3, start=5000))

    result = verify("--repair", "--json")

    assert result.returncode == 0, result.stderr
    report = found(result)
    assert (report["missing"]["count"], report["different"]["count"], report["repaired"]) == (100, 2, 102)
    target = contents(migrated.target, migrated.target_name)
    assert {key: target.pop(str(key)) for key in range(5000, 5003)}
    assert target == before
    assert verify().returncode == 0


def test_extra_points_are_not_repaired(migrated: Ends, verify: Run) -> None:
    delete_points(migrated.target, migrated.target_name, 5)
    fill(migrated.target, migrated.target_name, simple_points(2, start=5000))
    result = verify("--repair", "--extra", "--json")
    assert result.returncode == 4
    report = found(result)
    assert (report["missing"]["count"], report["extra"]["count"], report["repaired"]) == (1, 2, 1)


def test_a_migration_that_lost_points_ends_after_a_repair(migrated: Ends, migrate: Run, verify: Run) -> None:
    delete_points(migrated.target, migrated.target_name, 7, 8)
    result = migrate("-c")
    assert result.returncode == 1
    assert "`qmig verify --repair` copies what is missing" in result.stderr
    assert verify("--repair").returncode == 0
    assert migrate("-c").returncode == 0
