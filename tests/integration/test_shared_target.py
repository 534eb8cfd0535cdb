"""Two migrations load one new target at once: one creates it, and the last to end puts its settings back."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from qmig.coordinator.migrate import Coordinator
from qmig.coordinator.preflight import RunOptions
from qmig.embedded.child_process import ChildProcess
from qmig.ledger.ledger import Ledger
from qmig.ledger.records import State
from qmig.migration import Credentials, Migration, SourceSpec, TargetSpec
from tests.support.collections import contents, create, dense_params, fill, simple_points
from tests.support.command import Run
from tests.support.ends import Ends
from tests.support.migrations import LEISURELY, copied, finish, own_fleet, start, state_of
from tests.support.records import set_fields
from tests.support.target_settings import debt_of, indexing_threshold, is_final
from tests.support.views import SilentView
from tests.support.waiting import until, until_logged

POINTS = 2000
#: Two workers copy a source like this in 40 seconds.
TWO_SLOW_CHUNKS = [*LEISURELY, "--chunk-size", "1000", "-b", "10", "--batch-delay", "400"]


@pytest.fixture
def two(ends: Ends, make_ends: Callable[[], Ends]) -> tuple[Ends, Ends]:
    """Two sources, and one target that does not exist, with one ledger."""
    first = ends
    second = replace(make_ends(), target_name=first.target_name, ledger=first.ledger)
    for one, begin in ((first, 0), (second, POINTS)):
        create(one.source, one.source_name, dense_params())
        fill(one.source, one.source_name, simple_points(POINTS, begin))
    return first, second


def has_both(first: Ends, second: Ends) -> bool:
    both = {**contents(first.source, first.source_name), **contents(second.source, second.source_name)}
    return len(both) == 2 * POINTS and contents(first.target, first.target_name) == both


def migration_of(ends: Ends) -> Migration:
    source = SourceSpec("qdrant", ends.source.endpoint, ends.source_name)
    return Migration(source, TargetSpec(ends.target.endpoint, ends.target_name, ends.ledger))


def begin_both(
    first: Ends, second: Ends, broker: str, how_first: list[str], how_second: list[str]
) -> tuple[ChildProcess, ChildProcess]:
    """Begin two migrations into one target; the first creates it."""
    creator = start(first, *how_first, broker=broker)
    until_logged(creator, "planned")
    joining = start(second, *how_second, broker=broker)
    until(lambda: len(debt_of(first).loads) == 2, "both loads in the target's metadata", creator, joining)
    return creator, joining


def test_two_migrations_into_one_new_target_at_once(two: tuple[Ends, Ends], qmig: Run, fleet: str) -> None:
    def call(ends: Ends) -> str:
        result = qmig("qdrant", *ends.arguments, "-c", "--chunk-size", "300", broker=fleet)
        assert result.returncode == 0, result.stderr
        return result.stderr

    with ThreadPoolExecutor(2) as pool:
        said = list(pool.map(call, two))

    assert sum(text.startswith("created collection") or "\ncreated collection" in text for text in said) == 1
    assert has_both(*two)
    assert is_final(two[0])


def test_a_target_that_was_created_since_preflight_is_the_other_migrations(
    two: tuple[Ends, Ends], plan_only: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = two
    plan_only("-c", "--chunk-size", "500")
    final_settings = debt_of(first).final_settings
    assert final_settings is not None
    options = RunOptions(create_target=True)
    with Coordinator(migration_of(second), Credentials(), options, SilentView()) as coordinator:
        with monkeypatch.context() as patched:
            patched.setattr("qmig.coordinator.preflight.collection_info", lambda *_: None)
            preflight = coordinator.preflight()
        record = coordinator._prepare(preflight, lambda: False)
        coordinator._target_load(preflight, record).begin()

    assert not record.created_target
    assert record.final_settings is None
    debt = debt_of(first)
    assert debt.final_settings == final_settings
    assert {migration: load.created for migration, load in debt.loads.items()} == {
        migration_of(first).id: True,
        migration_of(second).id: False,
    }


def test_the_first_to_end_leaves_the_index_off_for_the_other(two: tuple[Ends, Ends]) -> None:
    first, second = two
    with own_fleet(4) as (broker, _):
        quick = ["-c", "--chunk-size", "1000"]
        creator, joining = begin_both(first, second, broker.url, TWO_SLOW_CHUNKS, quick)
        finish(joining)
        assert f"migration {migration_of(first).id[:8]} loads the target" in joining.read_stderr()
        assert creator.running
        assert indexing_threshold(first) == 0
        assert f"migration {migration_of(first).id[:8]} loads it too" in joining.read_stderr()
        finish(creator)
    assert has_both(first, second)
    assert is_final(first)


@pytest.mark.parametrize("end", ["cancelled", "killed", "failed"])
def test_the_last_to_end_puts_back_the_settings_of_a_target_that_another_created(
    two: tuple[Ends, Ends], qmig: Run, end: str
) -> None:
    first, second = two
    with own_fleet(4) as (broker, _):
        creator, joining = begin_both(first, second, broker.url, TWO_SLOW_CHUNKS, TWO_SLOW_CHUNKS)
        if end == "cancelled":
            cancelled = qmig("cancel", migration_of(first).id, *first.where)
            assert cancelled.returncode == 0, cancelled.stderr
            assert f"migration {migration_of(second).id[:8]} loads it too" in cancelled.stderr
            assert indexing_threshold(first) == 0
        else:
            creator.kill()
            state = State.STOPPED if end == "killed" else State.FAILED
            set_fields(Ledger(first.target, first.ledger), migration_of(first).id, state=state)
        finish(joining)
        assert is_final(first)
        again = qmig("qdrant", *first.arguments, broker=broker.url)
        assert again.returncode == 0, again.stderr
    assert has_both(first, second)
    assert is_final(first)


def test_a_migration_that_was_killed_does_not_keep_the_index_off(two: tuple[Ends, Ends], qmig: Run) -> None:
    """Its record says that it is running, and no worker of it is alive."""
    first, second = two
    killed = start(first, *TWO_SLOW_CHUNKS, "--workers", "1")
    until(lambda: copied(first) > 0, "the first points", killed)
    killed.kill()
    assert state_of(first) == State.RUNNING
    assert indexing_threshold(first) == 0

    result = qmig("qdrant", *second.arguments, "-c", "--workers", "1")

    assert result.returncode == 0, result.stderr
    assert is_final(second)
