"""The Milvus collection that was planned is the one that is read: aliases, and collections made again."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from uuid import uuid4

import pytest
from pymilvus import DataType

from qmig.embedded.milvus import MilvusServer
from qmig.ledger.ledger import Ledger
from qmig.ledger.records import State
from tests.support.command import Run
from tests.support.migrations import finish, own_fleet
from tests.support.milvus.migration import Migration
from tests.support.milvus.running import SLOWLY, begin, record_of, until_read
from tests.support.pausing import paused

ROWS = 4000

with_aliases = pytest.mark.parametrize("milvus_server", ["lite", "standalone"], indirect=True)


def fill(migration: Migration, first: int = 0) -> None:
    """Make the source with rows from this key on."""
    migration.create(fields={"number": {"datatype": DataType.INT64}})
    migration.insert([{"pk": key, "number": key} for key in range(first, first + ROWS)])


def make_again(migration: Migration, first: int) -> None:
    migration.client.drop_collection(migration.source_name)
    fill(migration, first)


def numbers(migration: Migration) -> set[int]:
    return {point.payload["number"] for point in migration.points().values()}


@pytest.fixture
def aliased(migration: Migration) -> Iterator[tuple[Migration, Callable[[], None]]]:
    """A migration whose source is named by an alias, and a function that moves the alias to other rows."""
    client, own = migration.client, migration.source_name
    alias, other = f"alias_{uuid4().hex}", f"other_{uuid4().hex}"
    fill(migration)
    fill(replace(migration, source_name=other), first=10 * ROWS)
    client.create_alias(own, alias)
    yield replace(migration, source_name=alias), lambda: client.alter_alias(other, alias)
    client.drop_alias(alias)
    client.drop_collection(other)


@with_aliases
def test_an_alias_that_moves_in_mid_run_changes_nothing(
    aliased: tuple[Migration, Callable[[], None]], qmig: Run
) -> None:
    migration, move = aliased
    with own_fleet() as (redis, _):
        running = begin(migration, *SLOWLY, broker=redis.url)
        until_read(migration, 200)
        move()
        finish(running)

        assert numbers(migration) == set(range(ROWS))
        verified = qmig("verify", *migration.where, broker=redis.url)
        refused = migration.run("-c", broker=redis.url)

    assert verified.returncode == 0, verified.stderr
    assert refused.returncode == 1
    assert f"the source {migration.source_name!r} is the collection 'other_" in refused.stderr
    assert "point the alias there again, or begin again with --restart-migration" in refused.stderr


@pytest.mark.parametrize("happens", ["between two runs", "in mid-run"])
def test_a_collection_that_was_made_again_is_another_one(
    migration: Migration, milvus_server: MilvusServer, happens: str, qmig: Run
) -> None:
    """With other keys; where the server gives ids, with the same keys too."""
    fill(migration)
    has_ids = milvus_server.kind == "standalone"
    said, first = ("its id was ", 0) if has_ids else ("rows that were looked up are gone", 10 * ROWS)
    with own_fleet() as (redis, _):
        running = begin(migration, *SLOWLY, broker=redis.url)
        until_read(migration, 200)
        if happens == "in mid-run":
            with paused(Ledger(migration.target, migration.ledger)):
                make_again(migration, first)
        else:
            running.stop(timeout=60)
            make_again(migration, first)
            running = begin(migration, *SLOWLY, broker=redis.url)
        finish(running, status=1)

        assert said in running.read_stderr()
        assert "begin again with --restart-migration" in running.read_stderr()
        assert "points are in the target" not in running.read_stdout()
        record = record_of(migration)
        assert record is not None
        assert record.state in (State.FAILED, State.STOPPED)
        assert qmig("verify", *migration.where, broker=redis.url).returncode != 0
        again = migration.run("-c", "--restart-migration", broker=redis.url)

    assert again.returncode == 0, again.stderr
    assert numbers(migration) >= set(range(first, first + ROWS))


@pytest.mark.parametrize("milvus_server", ["standalone"], indirect=True)
def test_a_partition_that_was_made_again_is_another_one(migration: Migration) -> None:
    client, name = migration.client, migration.source_name
    fill(migration)
    client.create_partition(name, "p1")
    migration.insert([{"pk": ROWS, "number": ROWS}], "p1")
    migration.succeed()
    client.release_partitions(name, ["p1"])
    client.drop_partition(name, "p1")
    client.create_partition(name, "p1")
    migration.insert([{"pk": ROWS, "number": ROWS}], "p1")

    result = migration.run("-c")

    assert result.returncode == 1
    assert "the id of its partition 'p1' was " in result.stderr
