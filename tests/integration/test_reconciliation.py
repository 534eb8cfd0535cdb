"""At the end the counts must match, and missing points are named."""

import pytest

from qmig.qdrant import messages as api
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
from tests.support.migrations import fill_source


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


def test_a_source_that_was_written_to_is_said_to_be_so_with_the_numbers(ends: Ends, migrate: Run) -> None:
    migrated(ends, migrate)
    fill(ends.source, ends.source_name, simple_points(25, start=5000))

    result = migrate("-c")

    assert result.returncode == 0, result.stderr
    assert (
        "the source was written to during the migration: 1,500 points were read, it holds 1,525 now" in result.stderr
    )


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
