"""Several migrations on one fleet with one ledger, a finished one, and one that begins again."""

import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from qdrant_client import grpc as api

from qmig.ledger.ledger import Ledger
from qmig.ledger.records import ChunkRecord, MigrationRecord, State
from tests.support.collections import (
    contents,
    create,
    create_shard_key,
    delete,
    dense_params,
    exists,
    fill,
    simple_points,
)
from tests.support.command import Run
from tests.support.ends import Ends
from tests.support.migrations import arrived, fill_source

Records = dict[str, tuple[MigrationRecord, list[ChunkRecord]]]


def records(ends: Ends) -> Records:
    """All records in the ledger, by the title of the migration."""
    ledger = Ledger(ends.target, ends.ledger)
    return {
        record.title: (record, ledger.chunks(record.migration, range(record.chunks)))
        for record in ledger.migrations()
    }


def title(ends: Ends) -> str:
    return f"{ends.source_name} → {ends.target_name}"


@pytest.fixture
def two(make_ends: Callable[[], Ends]) -> Iterator[tuple[Ends, Ends]]:
    """Two sources and two targets with one ledger."""
    first, second = make_ends(), make_ends()
    second = replace(second, ledger=first.ledger)
    for ends, start in ((first, 0), (second, 1000)):
        create(ends.source, ends.source_name, dense_params())
        fill(ends.source, ends.source_name, simple_points(2000, start))
    return first, second


@pytest.fixture
def call(qmig: Run, fleet: str) -> Run:
    def run(ends: Ends, *arguments: str) -> subprocess.CompletedProcess[str]:
        return qmig("qdrant", *ends.arguments, *arguments, broker=fleet)

    return run


def test_two_migrations_at_once_on_one_fleet_with_one_ledger(two: tuple[Ends, Ends], call: Run) -> None:
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda ends: call(ends, "-c", "--chunk-size", "300", "-b", "40"), two))

    for result, ends in zip(results, two, strict=True):
        assert result.returncode == 0, result.stderr
        assert "all 2,000 points are in the target" in result.stdout
        assert arrived(ends)
    found = records(two[0])
    assert set(found) == {title(ends) for ends in two}
    for record, chunks in found.values():
        assert record.state == State.DONE
        assert {chunk.state for chunk in chunks} == {State.DONE}
        assert sum(chunk.acknowledged for chunk in chunks) == 2000


def test_two_sources_into_one_target_at_once(two: tuple[Ends, Ends], call: Run) -> None:
    """Each migration sees points of the other in the target, which has the points of both sources at the end."""
    first, second = two[0], replace(two[1], target_name=two[0].target_name)
    create(first.target, first.target_name, dense_params())

    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda ends: call(ends, "--chunk-size", "300"), (first, second)))

    for result in results:
        assert result.returncode == 0, result.stderr
    expected = {
        **contents(first.source, first.source_name),
        **contents(second.source, second.source_name),
    }
    assert len(expected) == 3000
    assert contents(first.target, first.target_name) == expected


def test_a_finished_migration_keeps_its_records(two: tuple[Ends, Ends], call: Run) -> None:
    first, second = two
    assert call(first, "-c").returncode == 0
    before = records(first)[title(first)]

    result = call(second, "-c")

    assert result.returncode == 0, result.stderr
    assert records(first)[title(first)] == before
    assert before[0].state == State.DONE
    assert before[0].reconciliation is not None
    assert before[0].reconciliation.read == 2000


def test_restart_forgets_only_its_own_migration(two: tuple[Ends, Ends], call: Run) -> None:
    first, second = two
    for ends in two:
        assert call(ends, "-c", "--chunk-size", "500").returncode == 0
    other = records(first)[title(second)]
    extra = simple_points(100, 50_000)
    fill(first.source, first.source_name, extra)

    result = call(first, "--restart-migration", "--chunk-size", "1000")

    assert result.returncode == 0, result.stderr
    assert "all 2,100 points are in the target" in result.stdout
    assert arrived(first)
    found = records(first)
    assert found[title(second)] == other
    assert found[title(first)][0].chunk_size == 1000
    assert sum(chunk.acknowledged for chunk in found[title(first)][1]) == 2100


def test_restart_heals_a_target_that_lost_its_points(two: tuple[Ends, Ends], call: Run) -> None:
    ends, _ = two
    assert call(ends, "-c").returncode == 0
    delete(ends.target, ends.target_name)

    gone = call(ends, "-c")
    assert gone.returncode == 1
    assert "no longer exists" in gone.stderr
    assert "--restart-migration" in gone.stderr
    assert not exists(ends.target, ends.target_name)

    result = call(ends, "-c", "--restart-migration")
    assert result.returncode == 0, result.stderr
    assert arrived(ends)


def test_the_same_command_again_copies_nothing_and_says_so(two: tuple[Ends, Ends], call: Run) -> None:
    ends, _ = two
    assert call(ends, "-c", "--chunk-size", "500").returncode == 0
    _, chunks = records(ends)[title(ends)]

    result = call(ends, "-c", "--chunk-size", "500")

    assert result.returncode == 0, result.stderr
    assert "already done" in result.stderr
    assert "all 2,000 ids of the source are in the target; contents were not compared" in result.stdout
    assert "  0 points in " in result.stdout
    assert records(ends)[title(ends)][1] == chunks


def test_another_chunk_size_is_refused_on_resume_with_the_way_out(
    ends: Ends, migrate: Run, plan_only: Callable[..., None]
) -> None:
    fill_source(ends, 300)
    plan_only("-c", "--chunk-size", "100")
    before = records(ends)

    result = migrate("-c", "--chunk-size", "50")

    assert result.returncode == 2
    assert "--chunk-size 50" in result.stderr
    assert "chunks of 100" in result.stderr
    assert "--restart-migration" in result.stderr
    assert records(ends) == before
    assert migrate("-c", "--chunk-size", "100").returncode == 0
    assert arrived(ends)


@pytest.mark.usefixtures("custom_sharding")
def test_another_routing_is_refused_on_resume_with_the_way_out(
    ends: Ends, migrate: Run, plan_only: Callable[..., None]
) -> None:
    fill_source(ends, 300)
    create(ends.target, ends.target_name, dense_params(), sharding_method=api.Custom)
    create_shard_key(ends.target, ends.target_name, '"one"')
    plan_only("--target-shard-key", "one")

    for arguments in (["--target-shard-key", "two"], ["--target-shard-key-field", "title"], []):
        result = migrate(*arguments)
        assert result.returncode == 2, arguments
        assert 'to shard key "one"' in result.stderr
        assert "--restart-migration" in result.stderr

    result = migrate("--target-shard-key", "one")
    assert result.returncode == 0, result.stderr
    there = contents(ends.source, ends.source_name)
    assert contents(ends.target, ends.target_name, '"one"') == there


def test_the_plan_is_kept_whatever_else_changes(ends: Ends, migrate: Run, plan_only: Callable[..., None]) -> None:
    fill_source(ends, 600)
    plan_only("-c", "--chunk-size", "100")
    ranges = [(chunk.start, chunk.end) for chunk in records(ends)[title(ends)][1]]
    assert len(ranges) == 6
    fill(ends.source, ends.source_name, simple_points(3000, 100_000))

    result = migrate("-c", "-b", "33", "--batch-delay", "1", "--ensure-payload-indexes")

    assert result.returncode == 0, result.stderr
    assert [(chunk.start, chunk.end) for chunk in records(ends)[title(ends)][1]] == ranges
    assert arrived(ends)
