"""Partitions that are not loaded: their rows cannot be read, and a migration says so whenever that happens."""

from dataclasses import replace

import pytest
from pymilvus import DataType

from qmig.broker.access import AccessGrant
from qmig.broker.fleet import Fleet
from qmig.broker.task import MigrationTask
from qmig.embedded.redis import EmbeddedRedis
from qmig.jobs.runner import Worker
from qmig.ledger.ledger import Ledger
from qmig.ledger.records import State
from qmig.migration import Credentials, Endpoint
from qmig.sources.milvus.messages import milvus
from qmig.sources.milvus.partitions import LOADING
from tests.support.command import Run
from tests.support.grpc_proxy import GrpcProxy
from tests.support.migrations import finish, own_fleet
from tests.support.milvus.migration import Migration
from tests.support.milvus.running import SLOWLY, begin, record_of, until_read
from tests.support.records import set_fields
from tests.support.waiting import until

#: In each of two partitions.
ROWS = 4000

pytestmark = pytest.mark.parametrize("milvus_server", ["standalone"], indirect=True)


@pytest.fixture
def halves(migration: Migration) -> Migration:
    """A source with two partitions of equal size, both loaded."""
    migration.create(fields={"number": {"datatype": DataType.INT64}})
    migration.client.create_partition(migration.source_name, "p1")
    for partition, first in (("_default", 0), ("p1", 1)):
        keys = range(first, 2 * ROWS, 2)
        migration.insert([{"pk": key, "number": key} for key in keys], partition)
    return migration


def release(migration: Migration, *partitions: str) -> None:
    migration.client.release_partitions(migration.source_name, list(partitions or ["p1"]))


def load(migration: Migration) -> None:
    migration.client.load_partitions(migration.source_name, ["p1"])


def numbers(migration: Migration) -> set[int]:
    return {point.payload["number"] for point in migration.points().values()}


def is_refused(stderr: str, name: str, others: str = "_default") -> bool:
    return (
        f"the source's collection {name!r} is loaded without its partitions 'p1', whose rows cannot be read" in stderr
        and f"client.load_partitions({name!r}, ['p1'])" in stderr
        and f"read only the others with --source-partition {others}" in stderr
    )


def test_a_partition_that_is_not_loaded_is_refused_before_anything_is_written(halves: Migration) -> None:
    release(halves)

    result = halves.run("-c")

    assert result.returncode == 1
    assert is_refused(result.stderr, halves.source_name)
    assert len(result.stderr.strip().splitlines()) == 1
    assert not Ledger(halves.target, halves.ledger).exists()


def test_a_partition_that_was_never_loaded_is_refused(halves: Migration) -> None:
    client, name = halves.client, halves.source_name
    client.release_collection(name)
    client.load_partitions(name, ["_default"])

    assert is_refused(halves.run("-c").stderr, name)


def test_a_chosen_partition_that_is_not_loaded_is_refused(halves: Migration) -> None:
    release(halves)

    result = halves.run("-c", "--source-partition", "p1")

    assert result.returncode == 1
    assert f"the source's collection {halves.source_name!r} is loaded without its partitions 'p1'" in result.stderr


def test_a_collection_that_is_still_being_loaded_is_waited_for(halves: Migration) -> None:
    looks = [LOADING] * 9

    def loading(path: str, answer: bytes) -> bytes:
        if not path.endswith("GetLoadState") or not looks:
            return answer
        return bytes(milvus.GetLoadStateResponse(state=looks.pop()).SerializeToString())

    with GrpcProxy(Endpoint.parse(halves.url, "source")) as proxy:
        proxy.alter = loading
        replace(halves, url=proxy.url).succeed()

    assert not looks
    assert numbers(halves) == set(range(2 * ROWS))


def test_the_loaded_partitions_alone_can_be_copied(halves: Migration) -> None:
    release(halves)

    halves.succeed("--source-partition", "_default")

    assert numbers(halves) == set(range(0, 2 * ROWS, 2))


def test_a_released_partition_is_refused_by_a_resume_and_by_a_verification(halves: Migration, qmig: Run) -> None:
    halves.succeed()
    release(halves)

    again = halves.run("-c")
    verified = qmig("verify", *halves.where, broker=halves.broker)

    assert (again.returncode, verified.returncode) == (1, 1)
    assert is_refused(again.stderr, halves.source_name)
    assert is_refused(verified.stderr, halves.source_name)
    load(halves)
    assert halves.run("-c").returncode == 0


def test_a_partition_released_in_mid_run_fails_its_chunk_and_the_same_command_goes_on(halves: Migration) -> None:
    with own_fleet() as (redis, _):
        running = begin(halves, *SLOWLY, broker=redis.url)
        until_read(halves, 200)
        release(halves)
        finish(running, status=1)

        assert is_refused(running.read_stderr(), halves.source_name)
        assert "points are in the target" not in running.read_stdout()
        load(halves)
        finish(begin(halves, *SLOWLY, broker=redis.url))

    assert numbers(halves) == set(range(2 * ROWS))


def test_a_partition_that_is_loaded_again_before_the_end_has_hidden_no_row(halves: Migration) -> None:
    """The chunk notices or not, as the worker reads meanwhile or not: it never passes rows that it could not read."""
    with own_fleet() as (redis, _):
        running = begin(halves, *SLOWLY, broker=redis.url)
        until_read(halves, 200)
        release(halves)
        load(halves)
        until(lambda: not running.running, "the end of the migration")
        if running.wait() != 0:
            assert is_refused(running.read_stderr(), halves.source_name)
            finish(begin(halves, *SLOWLY, broker=redis.url))

    assert numbers(halves) == set(range(2 * ROWS))


def test_a_partition_released_after_the_last_row_fails_the_end(
    halves: Migration, redis_server: EmbeddedRedis
) -> None:
    halves.succeed()
    record = record_of(halves)
    assert record is not None
    set_fields(Ledger(halves.target, halves.ledger), record.migration, state=State.RUNNING)
    access = AccessGrant.of(record.definition, Credentials())
    release(halves)

    task = MigrationTask(migration=record.migration, access=access.to_text())
    with Fleet(redis_server.url) as fleet:
        fleet.registry.register(task)
        result = Worker(lambda: fleet).supervise(task)

    assert is_refused(result, halves.source_name)
    ended = record_of(halves)
    assert ended is not None
    assert ended.state == State.FAILED


def test_a_partition_that_is_made_in_mid_run_is_read(halves: Migration) -> None:
    with own_fleet() as (redis, _):
        running = begin(halves, *SLOWLY, broker=redis.url)
        until_read(halves, 200)
        halves.client.create_partition(halves.source_name, "p2")
        halves.insert([{"pk": 2 * ROWS, "number": 2 * ROWS}], "p2")
        finish(running)

    assert len(halves.points()) == 2 * ROWS + 1


def test_a_partition_that_is_dropped_in_mid_run_does_not_stop_the_others(halves: Migration) -> None:
    with own_fleet() as (redis, _):
        running = begin(halves, *SLOWLY, broker=redis.url)
        until_read(halves, 200)
        release(halves)
        halves.client.drop_partition(halves.source_name, "p1")
        finish(running)

    assert numbers(halves) >= set(range(0, 2 * ROWS, 2))
