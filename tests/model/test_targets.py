"""Schedules about the target's settings: put back once, at the end, and by whoever ends the migration."""

from collections.abc import Callable

import grpc
import pytest

from qmig.ledger.records import State
from tests.model.conftest import MakeWorld
from tests.model.messages import is_writing
from tests.model.network import Actor
from tests.model.schedule import (
    assert_done,
    begin_detached,
    copy,
    copy_without_end,
    is_planned,
    is_sending,
    run_fleet,
    run_until,
)
from tests.model.world import World


def begun(make_world: MakeWorld) -> World:
    """A migration that has created its target, is planned, and whose command was killed."""
    world = make_world(is_created=True)
    command = world.command("one", restart=False)
    run_until(world, command, lambda: is_planned(world))
    world.network.kill(command)
    return world


def switches(world: World) -> list[bool]:
    """Whether the target's index was switched on or off, one after another."""
    return [threshold > 0 for threshold in world.must.thresholds]


def test_a_created_target_gets_its_settings_back_once(make_world: MakeWorld) -> None:
    world = begun(make_world)
    copy(world)
    assert_done(world)
    assert switches(world) == [False, True]
    world.must.check_settled()


def test_a_created_target_keeps_its_index_off_while_another_migration_loads_it(make_world: MakeWorld) -> None:
    world = begun(make_world)
    other = World(world.network, beside=world)
    run_until(other, other.command("one", restart=False), lambda: is_planned(other))
    worker = other.worker(0)
    run_until(other, worker, lambda: is_writing(worker))

    copy_without_end(world)
    for _ in range(3):
        # The comparison of ids takes more than one supervision.
        supervise_beside(world, worker)
    assert_done(world)
    assert switches(world) == [False]

    other.run_to_the_end(worker)
    run_fleet(other)
    assert_done(other)
    assert switches(world) == [False, True]
    other.must.check_settled()


def supervise_beside(world: World, worker: Actor) -> None:
    """Supervise a migration while a worker of another one sends its heartbeats."""
    supervisor = world.supervisor()
    while supervisor.is_alive:
        world.network.step(supervisor)
        if worker.is_alive:
            world.network.stall(worker)
        world.check()


def pause(world: World) -> None:
    world.run_to_the_end(world.control("pause"))


def stop(world: World) -> None:
    record = world.record
    assert record is not None
    assert world.ledger.change_migration(record, state=State.STOPPED)


def fail(world: World) -> None:
    worker = world.worker(0)
    run_until(world, worker, lambda: is_writing(worker))
    worker.waits_for[0].fail(grpc.StatusCode.PERMISSION_DENIED, "an old key")
    world.run_to_the_end(worker)
    copy(world)


def hold(world: World) -> None:
    """A worker dies with a chunk."""
    worker = world.worker(0)
    run_until(world, worker, lambda: is_writing(worker))
    world.network.kill(worker)


@pytest.mark.parametrize(
    ("come_to", "state"),
    [
        (lambda _: None, State.RUNNING),
        (hold, State.RUNNING),
        (pause, State.PAUSED),
        (stop, State.STOPPED),
        (fail, State.FAILED),
    ],
)
def test_a_cancelled_migration_leaves_its_target_in_its_final_state(
    make_world: MakeWorld, come_to: Callable[[World], None], state: State
) -> None:
    world = begun(make_world)
    come_to(world)
    assert world.state == state

    assert world.run_to_the_end(world.control("cancel")) is None
    world.check()
    record = world.record
    assert record is not None
    assert record.state == State.CANCELLED
    assert record.finished is not None
    world.must.check_settled()

    begin_detached(world)
    run_fleet(world)
    assert_done(world)
    world.must.check_settled()


def test_a_preparing_migration_can_be_cancelled(make_world: MakeWorld) -> None:
    world = make_world(is_created=True)
    command = world.command("one", restart=False)
    run_until(world, command, is_sending(command, "Update"))
    assert world.state == State.PREPARING

    world.run_to_the_end(world.control("cancel"))
    assert "was cancelled at this moment" in str(world.run_to_the_end(command))
    assert world.state == State.CANCELLED
    world.must.check_settled()


def test_a_migration_that_was_cancelled_before_its_target_was_created_begins(make_world: MakeWorld) -> None:
    world = make_world(is_created=True)
    command = world.command("one", restart=False)
    run_until(world, command, lambda: world.state == State.PREPARING)
    world.network.kill(command)
    world.run_to_the_end(world.control("cancel"))
    assert world.state == State.CANCELLED

    begin_detached(world)
    run_fleet(world)
    assert_done(world)
    assert switches(world) == [False, True]
    world.must.check_settled()


@pytest.mark.parametrize("first", ["command", "supervisor"])
def test_a_cancel_by_the_command_and_by_the_supervisor_at_once(make_world: MakeWorld, first: str) -> None:
    world = begun(make_world)
    ends = [world.control("cancel")]
    run_until(world, ends[0], is_sending(ends[0], "Update"))
    ends.append(world.supervisor())
    run_until(world, ends[1], is_sending(ends[1], "Update"))
    for actor in ends if first == "command" else reversed(ends):
        assert not isinstance(world.run_to_the_end(actor), BaseException)
        world.check()

    record = world.record
    assert record is not None
    assert (record.state, record.error, record.final_settings) == (State.CANCELLED, None, None)
    assert record.finished is not None
    world.must.check_settled()
