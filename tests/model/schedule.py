"""Parts of schedules: let one actor go to a point, copy all chunks, have the fleet end a migration alone."""

from collections.abc import Callable

from qmig.ledger.records import State
from tests.model.invariants import shard_key_of
from tests.model.messages import Message
from tests.model.network import Actor
from tests.model.world import HOSTS, World

MAX_STEPS = 2000


def run_until(world: World, actor: Actor, has_come: Callable[[], bool]) -> None:
    """Let an actor run alone until something has come about. What must hold is looked at after each step."""
    for _ in range(MAX_STEPS):
        if has_come():
            return
        assert actor.is_alive, f"{actor.name} ended: {actor.outcome}"
        world.network.step(actor)
        world.check()
    raise AssertionError(f"{actor.name} does not get there")


def is_sending(actor: Actor, method: str, field: str = "") -> Callable[[], bool]:
    """Whether the actor waits for the ledger to answer a call, which writes this field."""

    def sends(message: Message) -> bool:
        is_to_ledger = not isinstance(message.request, bytes)
        return is_to_ledger and message.path.endswith(f"/{method}") and field in str(message.request)

    return lambda: any(map(sends, actor.waits_for))


def is_planned(world: World, shard_key: str = "one") -> bool:
    """Whether there is a complete plan that routes all points to this shard key."""
    record = world.record
    if record is None or shard_key_of(record) != shard_key:
        return False
    return record.state == State.RUNNING and record.planned


def copy(world: World) -> None:
    """Have every chunk copied by a worker of its own, and the migration ended by a supervisor."""
    record = world.record
    assert record is not None
    for index in range(record.chunks):
        world.run_to_the_end(world.worker(index))
        world.check()
    world.run_to_the_end(world.supervisor())
    world.check()


def assert_done(world: World) -> None:
    record = world.record
    assert record is not None
    assert record.state == State.DONE, record.error
    assert record.error is None
    world.check()


def run_fleet(world: World, rounds: int = 40) -> None:
    """Let the hosts' timers and workers with queued tasks run, and no command, until the migration is done."""
    for _ in range(rounds):
        if world.state == State.DONE:
            return
        for host in range(HOSTS):
            world.run_to_the_end(world.timer(host))
            world.check()
        for index in list(world.fleet.chunk_tasks):
            world.run_to_the_end(world.worker(index, age=0))
            world.check()
        world.network.pass_time(5.0)
    raise AssertionError(f"the fleet does not end a migration that is {world.state}")


def begin_detached(world: World, restart: bool = False) -> None:
    """Begin the migration with --detach: from then on the fleet is alone with it."""
    assert world.run_to_the_end(world.command("one", restart=restart, is_detached=True)) is None


def copy_without_end(world: World) -> None:
    """Have every chunk copied, and let no worker supervise the migration after its last one."""
    for index in range(len(world.plan)):
        worker = world.worker(index)
        while world.plan[index].state != State.DONE:
            world.network.step(worker)
            world.check()
        world.network.kill(worker)
