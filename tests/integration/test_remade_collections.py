"""A collection that was dropped and made again under its name is another one, with as many points too."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from qmig.embedded.child_process import ChildProcess
from qmig.embedded.redis import EmbeddedRedis
from qmig.ledger.ledger import Ledger
from qmig.ledger.records import State
from qmig.qdrant import messages as api
from tests.support.aliases import make_again, point_alias
from tests.support.collections import (
    contents,
    create,
    delete,
    delete_points,
    dense_params,
    fill,
    simple_points,
)
from tests.support.command import Run
from tests.support.ends import Ends
from tests.support.migrations import (
    LEISURELY,
    arrived,
    finish,
    own_fleet,
    record_of,
    start,
    state_of,
    until_copied,
    until_state,
    workers_on,
)
from tests.support.pausing import paused
from tests.support.waiting import until_logged

POINTS = 3000


@pytest.fixture
def source_points() -> int:
    return POINTS


def other_ids(ends: Ends) -> None:
    make_again(ends.source, ends.source_name, POINTS, first=10 * POINTS)


def other_vectors(ends: Ends) -> None:
    make_again(ends.source, ends.source_name, POINTS, size=8)


def now_an_alias(ends: Ends) -> None:
    """The collection is dropped, and its name becomes an alias of a newer one with the same points."""
    newer = f"{ends.source_name}-newer"
    create(ends.source, newer, dense_params())
    fill(ends.source, newer, simple_points(POINTS))
    delete(ends.source, ends.source_name)
    point_alias(ends.source, ends.source_name, newer)


@dataclass(frozen=True)
class Remade:
    """A way to put another collection in the place of the source, and what a migration that finds it says."""

    happens: Callable[[Ends], None]
    said: str


REMADE = {
    "other ids": Remade(other_ids, "the 32 points that were looked up are gone"),
    "other vectors": Remade(other_vectors, "its vector was size 4 Dot and is size 8 Dot"),
    "now an alias": Remade(now_an_alias, "is now an alias of"),
}
each_way = pytest.mark.parametrize("remade", REMADE.values(), ids=REMADE)


@pytest.fixture
def without_newer(ends: Ends) -> Iterator[None]:
    """Delete the collection that `now_an_alias` makes."""
    yield
    delete(ends.source, f"{ends.source_name}-newer")


pytestmark = pytest.mark.usefixtures("without_newer")


@each_way
@pytest.mark.parametrize("chunk_size", [1500, POINTS])
def test_remade_between_two_runs_the_source_is_refused(
    filled: Ends, plan_only: Callable[..., None], migrate: Run, remade: Remade, chunk_size: int
) -> None:
    plan_only("-c", "--chunk-size", str(chunk_size))
    remade.happens(filled)

    result = migrate("-c", "--chunk-size", str(chunk_size))

    assert result.returncode == 1
    assert len(result.stderr.strip().splitlines()) == 1
    assert "begin again with --restart-migration" in result.stderr
    if remade.happens is not now_an_alias:
        assert remade.said in result.stderr
    assert contents(filled.target, filled.target_name) == {}
    assert state_of(filled) == State.STOPPED


def test_the_way_out_copies_the_collection_that_is_there_now(
    filled: Ends, plan_only: Callable[..., None], migrate: Run
) -> None:
    plan_only("-c")
    other_ids(filled)

    result = migrate("-c", "--restart-migration")

    assert result.returncode == 0, result.stderr
    assert arrived(filled)


@each_way
def test_remade_in_mid_run_the_source_fails_the_migration(filled: Ends, remade: Remade) -> None:
    with own_fleet() as (redis, _):
        running = start(filled, *LEISURELY, broker=redis.url)
        until_copied(filled, 500)
        with paused(Ledger(filled.target, filled.ledger)):
            remade.happens(filled)
        finish(running, status=1)

    record = record_of(filled)
    assert record is not None
    assert record.state == State.FAILED
    if remade.happens is not other_vectors:
        # With other vectors the target refuses the points before the end.
        assert remade.said in (record.error or "")
        assert "begin again with --restart-migration" in running.read_stderr()
    assert "points are in the target" not in running.read_stdout()


@each_way
def test_a_remade_source_is_not_verified(filled: Ends, migrate: Run, qmig: Run, fleet: str, remade: Remade) -> None:
    assert migrate("-c").returncode == 0
    remade.happens(filled)

    result = qmig("verify", *filled.where, broker=fleet)

    assert result.returncode == 1
    assert remade.said in result.stderr
    assert "points compared" not in result.stdout


def test_remade_while_it_is_verified_the_source_fails_the_verification(filled: Ends, migrate: Run) -> None:
    assert migrate("-c").returncode == 0
    with EmbeddedRedis() as redis:
        command = [sys.executable, "-m", "qmig", "verify", *filled.where]
        verifying = ChildProcess(command, name="qmig verify", env={"QMIG_BROKER_URL": redis.url})
        until_logged(verifying, "verification ")
        other_ids(filled)
        with workers_on(redis.url, 1):
            finish(verifying, status=1)

    assert "the 32 points that were looked up are gone" in verifying.read_stderr()
    assert "points compared" not in verifying.read_stdout()


@pytest.mark.parametrize("size", [4, 8])
def test_remade_in_mid_run_the_target_fails_the_migration(filled: Ends, size: int) -> None:
    with own_fleet() as (redis, _):
        running = start(filled, *LEISURELY, broker=redis.url)
        until_copied(filled, 500)
        with paused(Ledger(filled.target, filled.ledger)):
            make_again(filled.target, filled.target_name, 0, size=size)
        finish(running, status=1)

    until_state(filled, State.FAILED)


def test_a_target_with_other_settings_is_refused_by_a_resume(
    filled: Ends, plan_only: Callable[..., None], migrate: Run
) -> None:
    plan_only("-c")
    make_again(filled.target, filled.target_name, 0, size=8)

    result = migrate("-c")

    assert result.returncode == 1
    assert f"the target collection {filled.target_name!r} is not the one" in result.stderr
    assert "its vector was size 4 Dot and is size 8 Dot" in result.stderr


def test_what_may_change_does_not_make_another_collection(
    filled: Ends, plan_only: Callable[..., None], migrate: Run
) -> None:
    plan_only("-c", "--chunk-size", "1500")
    delete_points(filled.source, filled.source_name, *range(0, POINTS, 10))
    fill(filled.source, filled.source_name, simple_points(100, start=POINTS))
    server, name = filled.source, filled.source_name
    changed = api.UpdateCollection(collection_name=name)
    changed.optimizers_config.indexing_threshold = 50_000
    changed.hnsw_config.m = 8
    server.call(server.collections.Update, changed)
    index = api.CreateFieldIndexCollection(
        collection_name=name, wait=True, field_name="number", field_type=api.FieldTypeInteger
    )
    server.call(server.points.CreateFieldIndex, index)

    result = migrate("-c")

    assert result.returncode == 3
    assert "with exceptions: settings have changed: at the source, payload index 'number' was added" in result.stderr
    assert arrived(filled)
