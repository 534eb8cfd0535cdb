"""At the end every id of the source must be in the target; whatever is not, or is not known, is named."""

import json
from collections.abc import Callable

import pytest

from qmig.qdrant import messages as api
from qmig.qdrant.payload_indexes import create_index
from tests.support.collections import (
    contents,
    create,
    create_shard_key,
    delete_points,
    dense_params,
    fill,
    info,
    simple_points,
)
from tests.support.command import Run
from tests.support.ends import Ends
from tests.support.migrations import fill_source, record_of


def migrated(ends: Ends, migrate: Run, points: int = 1500) -> None:
    fill_source(ends, points)
    result = migrate("-c", "--chunk-size", "500")
    assert result.returncode == 0, result.stderr


def test_points_that_are_missing_in_the_target_are_an_error_with_their_ranges(ends: Ends, migrate: Run) -> None:
    migrated(ends, migrate)
    delete_points(ends.target, ends.target_name, *range(3, 10), 1498, 1499)

    result = migrate("-c")

    assert result.returncode == 1
    assert "missing in the target: 9 of the source's points: 7 in […, " in result.stderr
    assert "2 in [" in result.stderr
    assert "--restart-migration" in result.stderr
    again = migrate("-c", "--restart-migration")
    assert again.returncode == 0, again.stderr
    assert contents(ends.target, ends.target_name) == contents(ends.source, ends.source_name)


def test_a_finished_migration_says_that_its_ids_were_compared(ends: Ends, migrate: Run) -> None:
    migrated(ends, migrate)
    before = record_of(ends)

    result = migrate("-c")

    assert result.returncode == 0, result.stderr
    assert (
        "all 1,500 ids of the source are in the target; contents were not compared, `qmig verify` does that"
    ) in result.stdout
    after = record_of(ends)
    assert before is not None
    assert after is not None
    assert (after.state, after.finished, after.comparison) == ("done", before.finished, None)


def test_points_that_were_deleted_and_as_many_others_added_are_missed(ends: Ends, migrate: Run) -> None:
    migrated(ends, migrate)
    delete_points(ends.target, ends.target_name, 7, 1200)
    fill(ends.target, ends.target_name, simple_points(2, start=9000))

    result = migrate("-c")

    assert result.returncode == 1, result.stdout
    assert "missing in the target: 2 of the source's points: 1 in […, " in result.stderr
    assert "all 1,500" not in result.stdout + result.stderr


def test_a_source_that_was_written_to_is_said_to_be_so_with_the_numbers(ends: Ends, migrate: Run, qmig: Run) -> None:
    migrated(ends, migrate)
    fill(ends.source, ends.source_name, simple_points(25, start=5000))

    result = migrate("-c")

    assert result.returncode == 3, result.stderr
    assert "1,500 of 1,525 points are in the target, 25 are not" in result.stdout
    assert (
        "the source was written to during the migration: 1,500 points were read, it holds 1,525 now" in result.stderr
    )
    assert "25 points that are new in the source since their chunk was copied" in result.stderr
    status = json.loads(qmig("status", *ends.where, "--json").stdout)
    assert status["verdict"]["outcome"] == "incomplete"
    assert status["verdict"]["exit_status"] == result.returncode
    assert f"{status['verdict']['headline']}\n" in result.stdout
    assert status["verdict"]["exceptions"][0] in result.stderr
    shown = qmig("status", *ends.where).stdout
    assert "result     1,500 of 1,525 points are in the target, 25 are not" in shown


def test_points_of_the_target_with_the_same_ids_are_replaced_and_nothing_is_missing(ends: Ends, migrate: Run) -> None:
    fill_source(ends, 300)
    create(ends.target, ends.target_name, dense_params())
    fill(ends.target, ends.target_name, simple_points(200, start=200))

    result = migrate()

    assert result.returncode == 0, result.stderr
    assert "all 300 points are in the target" in result.stdout
    assert contents(ends.source, ends.source_name).items() <= contents(ends.target, ends.target_name).items()


def test_something_else_that_writes_to_the_target_is_told(ends: Ends, migrate: Run) -> None:
    migrated(ends, migrate)
    fill(ends.target, ends.target_name, simple_points(10, start=9000))

    result = migrate("-c")

    assert result.returncode == 0, result.stderr
    assert "the target holds 1,510 points, 10 more than it had before plus those that were copied" in result.stderr


def test_a_finished_migration_leaves_the_settings_of_its_target_alone(ends: Ends, migrate: Run) -> None:
    migrated(ends, migrate)
    update = api.UpdateCollection(
        collection_name=ends.target_name, optimizers_config=api.OptimizersConfigDiff(indexing_threshold=12345)
    )
    ends.target.call(ends.target.collections.Update, update)

    assert migrate("-c").returncode == 0

    assert info(ends.target, ends.target_name).config.optimizer_config.indexing_threshold == 12345


@pytest.fixture
def migrated_by_key(custom_sharding: None, ends: Ends, migrate: Run) -> Ends:  # noqa: ARG001
    """A hundred points under each of two shard keys, migrated."""
    create(ends.source, ends.source_name, dense_params(), sharding_method=api.Custom)
    for shard_key in ('"eu"', '"us"'):
        create_shard_key(ends.source, ends.source_name, shard_key)
        fill(ends.source, ends.source_name, simple_points(100), shard_key)
    assert migrate("-c").returncode == 0
    return ends


def test_points_missing_under_one_shard_key_are_named(migrated_by_key: Ends, migrate: Run) -> None:
    ends = migrated_by_key
    delete_points(ends.target, ends.target_name, 7, shard_key='"us"')

    result = migrate("-c")

    assert result.returncode == 1
    assert 'missing in the target: 1 of the source\'s points: 1 in […, …) of shard key "us"' in result.stderr


def test_fewer_under_one_shard_key_and_more_under_another_are_both_told(migrated_by_key: Ends, migrate: Run) -> None:
    ends = migrated_by_key
    delete_points(ends.source, ends.source_name, 7, shard_key='"us"')
    delete_points(ends.target, ends.target_name, 7, shard_key='"us"')
    fill(ends.target, ends.target_name, simple_points(10, start=500), '"eu"')

    result = migrate("-c")

    assert result.returncode == 0, result.stderr
    assert "1 points fewer than 200 are in the target" in result.stderr
    assert "10 more than it had before plus those that were copied" in result.stderr


def test_a_shard_key_that_the_source_gets_in_mid_run_is_not_passed_over(
    custom_sharding: None,  # noqa: ARG001
    ends: Ends,
    migrate: Run,
    plan_only: Callable[..., None],
) -> None:
    create(ends.source, ends.source_name, dense_params(), sharding_method=api.Custom)
    create_shard_key(ends.source, ends.source_name, '"eu"')
    fill(ends.source, ends.source_name, simple_points(100), '"eu"')
    plan_only("-c")
    create_shard_key(ends.source, ends.source_name, '"us"')
    fill(ends.source, ends.source_name, simple_points(40), '"us"')

    result = migrate("-c")

    assert result.returncode == 3, result.stderr
    assert "100 of 140 points are in the target, 40 are not" in result.stdout
    assert '40 points in shard key "us", which the source did not have when it was planned' in result.stderr
    assert 'settings have changed: at the source, shard key "us" was added' in result.stderr


def test_a_payload_index_that_the_source_gets_in_mid_run_is_told(
    ends: Ends, migrate: Run, plan_only: Callable[..., None]
) -> None:
    fill_source(ends, 100)
    plan_only("-c")
    keyword = api.PayloadSchemaInfo(data_type=api.PayloadSchemaType.Keyword)
    create_index(ends.source, ends.source_name, "city", keyword)

    result = migrate("-c")

    assert result.returncode == 3, result.stderr
    assert "100 of 100 points are in the target, with exceptions" in result.stdout
    assert "settings have changed: at the source, payload index 'city' was added" in result.stderr
