"""Schedules that once went wrong, and the undisturbed one."""

import grpc

from qmig.ledger.lease import LEASE_SECONDS
from qmig.ledger.records import State
from tests.model.conftest import MakeWorld
from tests.model.messages import is_writing
from tests.model.schedule import assert_done, copy, is_planned, is_sending, run_until
from tests.model.world import RETRY_FOR


def test_undisturbed(make_world: MakeWorld) -> None:
    world = make_world()
    command = world.command("one", restart=False)
    run_until(world, command, lambda: is_planned(world))
    copy(world)
    assert world.run_to_the_end(command) is None
    assert_done(world)
    world.must.check_repeats()


def test_a_batch_that_takes_its_time_is_not_counted_before_it_arrives(make_world: MakeWorld) -> None:
    world = make_world()
    command = world.command("one", restart=False)
    run_until(world, command, lambda: is_planned(world))
    worker = world.worker(0)
    run_until(world, worker, lambda: is_writing(worker))
    heartbeat = world.plan[0].heartbeat
    for _ in range(6):
        world.network.stall(worker)
        world.check()
    assert world.plan[0].heartbeat > heartbeat

    copy(world)
    world.run_to_the_end(worker)
    copy(world)
    assert_done(world)


def test_a_worker_between_its_look_and_its_claim_while_the_migration_begins_again(make_world: MakeWorld) -> None:
    world = make_world()
    command = world.command("one", restart=False)
    run_until(world, command, lambda: is_planned(world))
    late = world.worker(0)
    run_until(world, late, is_sending(late, "SetPayload"))

    again = world.command("two", restart=True)
    run_until(world, again, lambda: is_planned(world, "two"))
    world.run_to_the_end(late)
    world.check()

    copy(world)
    assert_done(world)
    assert "begun again by another command" in str(world.run_to_the_end(command))
    assert world.run_to_the_end(again) is None


def test_a_batch_under_way_while_the_migration_begins_again(make_world: MakeWorld) -> None:
    """The restart waits for it: after the new plan it would leave points under the old shard key alone."""
    world = make_world()
    command = world.command("one", restart=False)
    run_until(world, command, lambda: is_planned(world))
    late = world.worker(0)
    run_until(world, late, lambda: is_writing(late))
    again, began = world.command("two", restart=True), world.network.now
    run_until(world, again, lambda: world.network.now > began + LEASE_SECONDS / 3)
    assert not is_planned(world, "two")

    world.run_to_the_end(late)
    run_until(world, again, lambda: is_planned(world, "two"))
    copy(world)
    assert_done(world)


def test_a_planner_whose_step_takes_longer_than_its_lease(make_world: MakeWorld) -> None:
    world = make_world()
    slow = world.command("one", restart=False)
    run_until(world, slow, is_sending(slow, "Upsert", '"chunk"'))
    world.network.pass_time(LEASE_SECONDS)

    other = world.command("one", restart=False)
    run_until(world, other, lambda: is_planned(world))
    copy(world)
    assert world.run_to_the_end(slow) is None
    assert world.run_to_the_end(other) is None
    assert_done(world)
    world.must.check_repeats()


def test_a_worker_that_was_stopped_looks_before_it_sends(make_world: MakeWorld) -> None:
    world = make_world()
    command = world.command("one", restart=False)
    run_until(world, command, lambda: is_planned(world))
    sleeper = world.worker(0)
    run_until(world, sleeper, lambda: is_writing(sleeper))
    world.network.step(sleeper)
    assert sleeper.is_alive
    world.network.pass_time(LEASE_SECONDS)

    again = world.command("two", restart=True)
    run_until(world, again, lambda: is_planned(world, "two"))
    written = world.must.written("one")
    assert "belongs to another worker by now" in str(world.run_to_the_end(sleeper))
    assert world.must.written("one") == written
    copy(world)
    assert_done(world)


def test_a_claim_whose_answer_comes_after_the_lease_is_looked_at_again(make_world: MakeWorld) -> None:
    world = make_world()
    command = world.command("one", restart=False)
    run_until(world, command, lambda: is_planned(world))
    late = world.worker(0)
    run_until(world, late, lambda: bool(world.plan[0].owner))
    run_until(world, late, is_sending(late, "Get"))
    late.waits_for[0].deliver()
    world.network.pass_time(LEASE_SECONDS)

    again = world.command("two", restart=True)
    run_until(world, again, lambda: is_planned(world, "two"))
    assert "belongs to another worker by now" in str(world.run_to_the_end(late))
    assert world.must.written("one") == 0
    copy(world)
    assert_done(world)


def test_a_failure_of_an_earlier_run_does_not_fail_the_next_one(make_world: MakeWorld) -> None:
    world = make_world()
    command = world.command("one", restart=False)
    run_until(world, command, lambda: is_planned(world))
    late = world.worker(0)
    run_until(world, late, lambda: is_writing(late))
    before = world.record
    again = world.command("one", restart=False)
    run_until(
        world, again, lambda: before is not None and world.record is not None and world.record.run != before.run
    )
    late.waits_for[0].fail(grpc.StatusCode.PERMISSION_DENIED, "an old key")
    assert "an old key" in str(world.run_to_the_end(late))
    assert world.plan[0].state == State.FAILED

    copy(world)
    copy(world)
    assert_done(world)


def test_a_stop_is_seen_while_the_ledger_refuses_the_end_of_a_chunk(make_world: MakeWorld) -> None:
    world = make_world()
    command = world.command("one", restart=False)
    run_until(world, command, lambda: is_planned(world))
    worker = world.worker(0)
    is_ending = is_sending(worker, "SetPayload", '"done"')
    run_until(world, worker, is_ending)
    world.run_to_the_end(world.control("pause"))

    began = world.network.now
    while worker.is_alive:
        if is_ending():
            worker.waits_for[0].fail(grpc.StatusCode.UNAVAILABLE, "not now")
        world.network.stall(worker)
        world.check()

    assert "the migration was stopped" in str(worker.outcome)
    assert world.network.now - began < RETRY_FOR / 2
    assert (world.plan[0].state, world.plan[0].owner) == (State.PENDING, "")
