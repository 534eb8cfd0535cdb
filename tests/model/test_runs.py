"""Schedules over several runs of one migration: the broker loses everything, tasks come late, the end stays put."""

import grpc

from qmig.jobs.runner import EARLIER_RUN
from qmig.ledger.records import State
from tests.model.conftest import MakeWorld
from tests.model.messages import REDIS
from tests.model.network import Actor
from tests.model.schedule import assert_done, begin_detached, copy_without_end, run_fleet, run_until
from tests.model.world import HOSTS, World


def is_forgetting(actor: Actor) -> bool:
    """Whether the actor ends the supervision of a migration."""
    return any(message.path == REDIS and message.request[0] == "forget" for message in actor.waits_for)


def test_a_fleet_ends_a_detached_migration(make_world: MakeWorld) -> None:
    world = make_world(is_created=True)
    begin_detached(world)
    run_fleet(world)
    assert_done(world)
    world.must.check_settled()


def test_a_paused_migration_that_redis_has_lost_is_resumed(make_world: MakeWorld) -> None:
    world = make_world()
    begin_detached(world)
    for host in range(HOSTS):
        world.run_to_the_end(world.timer(host))
    world.run_to_the_end(world.control("pause"))
    world.network.redis.lose_everything()
    world.run_to_the_end(world.control("resume"))
    run_fleet(world)
    assert_done(world)


def test_redis_loses_everything_again_and_again(make_world: MakeWorld) -> None:
    world = make_world()
    begin_detached(world)
    for host in range(HOSTS):
        world.run_to_the_end(world.timer(host))
    for _ in range(3):
        world.network.redis.lose_everything()
        supervisor = world.timer(0)
        run_until(world, supervisor, lambda: world.fleet.chunk_tasks != {})
        world.network.redis.lose_everything()
        world.run_to_the_end(supervisor)
        world.run_to_the_end(world.worker(0, age=0))
        world.network.pass_time(5.0)
    run_fleet(world)
    assert_done(world)


def test_the_tasks_of_an_earlier_run_do_nothing(make_world: MakeWorld) -> None:
    world = make_world()
    begin_detached(world)
    world.run_to_the_end(world.timer(0))
    late = [tasks[-1] for tasks in world.fleet.chunk_tasks.values()]
    assert late
    world.run_to_the_end(world.control("pause"))
    world.run_to_the_end(world.control("resume"))
    before = world.plan
    for task in late:
        assert world.run_to_the_end(world.run_task(task)) == EARLIER_RUN
    assert world.plan == before
    run_fleet(world)
    assert_done(world)


def test_a_supervisor_forgets_no_migration_that_has_begun_again(make_world: MakeWorld) -> None:
    world = make_world()
    begin_detached(world)
    copy_without_end(world)
    late = world.supervisor()
    run_until(world, late, lambda: is_forgetting(late))
    assert world.state == State.DONE

    begin_detached(world, restart=True)
    world.run_to_the_end(late)
    run_fleet(world)
    assert_done(world)


def test_the_time_of_the_end_stays_put_over_later_runs(make_world: MakeWorld) -> None:
    world = make_world()
    begin_detached(world)
    run_fleet(world)
    first = world.record
    assert first is not None
    begin_detached(world)
    source_stays_away(world)
    assert world.state == State.STOPPED

    begin_detached(world)
    run_fleet(world)
    assert_done(world)
    last = world.record
    assert last is not None
    assert last.run != first.run
    assert last.finished == first.finished


def source_stays_away(world: World) -> None:
    """Supervise a migration while its source does not answer, until it is stopped."""
    for _ in range(10):
        supervisor = world.supervisor()
        while supervisor.is_alive:
            if world.is_for_source(supervisor):
                supervisor.waits_for[0].fail(grpc.StatusCode.UNAVAILABLE, "away")
            world.network.step(supervisor)
            world.check()
        if world.state != State.RUNNING:
            return
