"""The protocol as a state machine: commands, workers, supervisors and people, stopped and killed anywhere.

`make test_model EXAMPLES=2000` tries more schedules, each time others. One that fails becomes a test in
test_schedules.py.
"""

import os
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from qmig.errors import QmigError
from qmig.ledger.lease import LEASE_SECONDS
from qmig.ledger.records import State
from tests.model.conftest import MakeWorld
from tests.model.messages import is_write, is_writing
from tests.model.network import Actor
from tests.model.world import CHUNK_SIZE, POINTS, SHARD_KEYS, World

# Commands at once, and actors.
MAX_COMMANDS = 2
MAX_ACTORS = 5
EXAMPLES = int(os.environ.get("EXAMPLES", "40"))
CHUNKS = POINTS // CHUNK_SIZE
# How far an actor goes: until it waits for its first write, its second and so on, until it sleeps, or on and on while
# an idle lease expires. What goes wrong goes wrong between a look and a write.
UNTIL_IT_SLEEPS, FOR_LONG = 1000, 1001
FAR = st.sampled_from([1, 1, 2, 3, 4, 5, 6, 8, 10, UNTIL_IT_SLEEPS, UNTIL_IT_SLEEPS, UNTIL_IT_SLEEPS, FOR_LONG])
LONG_SECONDS = LEASE_SECONDS + 5.0
MAX_STEPS = 300


class Protocol(RuleBasedStateMachine):
    """The actors of one migration. `make_world` is set by the test."""

    make_world: MakeWorld

    def __init__(self) -> None:
        super().__init__()
        self.world: World = self.make_world()
        self.network = self.world.network

    @initialize(is_planned=st.booleans(), far=FAR)
    def begin(self, is_planned: bool, far: int) -> None:
        command = self.world.command(SHARD_KEYS[0], restart=False)
        while is_planned and not self.world.is_planned:
            self.network.step(command)
        self.go_on(command, far)

    # What may happen

    @property
    def has_room(self) -> bool:
        return len(self.network.actors) < MAX_ACTORS

    @property
    def may_begin(self) -> bool:
        return sum(actor.name in ("command", "restart") for actor in self.network.actors) < MAX_COMMANDS

    @precondition(lambda self: self.may_begin)
    @rule(far=FAR)
    def command(self, far: int) -> None:
        self.go_on(self.world.command(self.world.shard_key, restart=False), far)

    @precondition(lambda self: self.may_begin and self.world.is_planned)
    @rule(far=FAR)
    def restart(self, far: int) -> None:
        """The migration begins again, with the other shard key."""
        (other,) = set(SHARD_KEYS) - {self.world.shard_key}
        self.go_on(self.world.command(other, restart=True), far)

    @precondition(lambda self: self.has_room)
    @rule(index=st.integers(0, CHUNKS - 1), far=FAR)
    def worker(self, index: int, far: int) -> None:
        self.go_on(self.world.worker(index, is_requeued=False), far)

    @precondition(lambda self: self.has_room)
    @rule(index=st.integers(0, CHUNKS - 1), far=FAR)
    def worker_with_queued_task(self, index: int, far: int) -> None:
        self.go_on(self.world.worker(index, is_requeued=True), far)

    @precondition(lambda self: self.has_room)
    @rule(far=FAR)
    def supervisor(self, far: int) -> None:
        self.go_on(self.world.supervisor(), far)

    @precondition(lambda self: self.has_room)
    @rule(verb=st.sampled_from(["pause", "resume", "resume", "resume", "cancel", "throttle"]), far=FAR)
    def control(self, verb: str, far: int) -> None:
        self.go_on(self.world.control(verb), far)

    @precondition(lambda self: self.network.actors)
    @rule(choice=st.integers(0, MAX_ACTORS - 1), far=FAR)
    def step(self, choice: int, far: int) -> None:
        self.go_on(self.chosen(choice), far)

    @precondition(lambda self: any(map(is_writing, self.network.actors)))
    @rule(far=st.integers(2, 8))
    def stall(self, far: int) -> None:
        """The target is slow with a worker's batch, and the ledger is not."""
        self.go_on(next(filter(is_writing, self.network.actors)), far, self.network.stall)

    @precondition(lambda self: self.network.actors)
    @rule(choice=st.integers(0, MAX_ACTORS - 1))
    def kill(self, choice: int) -> None:
        self.network.kill(self.chosen(choice))

    @precondition(lambda self: self.network.messages)
    @rule(data=st.data())
    def deliver(self, data: st.DataObject) -> None:
        """A message arrives, whether its sender still lives or not."""
        data.draw(st.sampled_from(self.network.messages)).deliver()
        self.world.check()

    @rule(seconds=st.sampled_from([1.0, LEASE_SECONDS / 2, LEASE_SECONDS]))
    def wait(self, seconds: float) -> None:
        self.network.pass_time(seconds)

    def chosen(self, choice: int) -> Actor:
        return self.network.actors[choice % len(self.network.actors)]

    def go_on(self, actor: Actor, far: int, make_step: Callable[[Actor], None] | None = None) -> None:
        end, writes = self.network.now + LONG_SECONDS, 0
        for _ in range(MAX_STEPS):
            (make_step or self.network.step)(actor)
            self.world.check()
            writes += any(is_write(message) for message in actor.waits_for)
            is_asleep = not actor.waits_for if far < FOR_LONG else self.network.now > end
            if not actor.is_alive or is_asleep or writes >= far:
                break
        # Any other exception is a defect.
        assert not isinstance(actor.outcome, BaseException) or isinstance(actor.outcome, QmigError), actor.outcome

    # The end

    def teardown(self) -> None:
        """Whatever has happened: the command, given again, ends with every point in the target."""
        for actor in list(self.network.actors):
            self.go_on(actor, UNTIL_IT_SLEEPS)
        for actor in list(self.network.actors):
            self.network.kill(actor)
        for message in list(self.network.messages):
            message.deliver()
            self.world.check()
        last = self.world.command(self.world.shard_key, restart=False)
        for _ in range(40):
            for _ in range(60):
                if last.is_alive:
                    self.network.step(last)
            for index in range(CHUNKS):
                self.world.run_to_the_end(self.world.worker(index, is_requeued=True))
            self.world.run_to_the_end(self.world.supervisor())
            if not last.is_alive:
                break
        self.world.check()
        now = self.world.record
        assert now is not None
        assert (now.state, now.error, last.outcome) == (State.DONE, None, None)
        self.world.check_repeats()


def test_protocol(make_world: MakeWorld) -> None:
    class Bound(Protocol):
        pass

    Bound.make_world = staticmethod(make_world)
    ours: dict[str, Any] = {
        "max_examples": EXAMPLES,
        "stateful_step_count": 30,
        "deadline": None,
        "derandomize": "EXAMPLES" not in os.environ,
        "database": None,
        "print_blob": True,
        "suppress_health_check": list(HealthCheck),
    }
    run_state_machine_as_test(Bound, settings=settings(**ours))
