"""The protocol as a state machine: commands, workers, supervisors and people, stopped and killed anywhere.

`make test_model EXAMPLES=2000` tries more schedules, each time others. One that fails becomes a test in
test_schedules.py.
"""

import os
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from qmig.errors import QmigError
from qmig.ledger.lease import LEASE_SECONDS
from qmig.ledger.records import State
from tests.model.conftest import MakeWorld
from tests.model.network import Actor
from tests.model.world import CHUNK_SIZE, POINTS, SHARD_KEYS, World

# Actors at once: two commands, and two of the others.
MAX_ACTORS = 4
EXAMPLES = int(os.environ.get("EXAMPLES", "25"))
CHUNKS = POINTS // CHUNK_SIZE
# Steps that an actor makes in a row: one, a few, or as many as it takes to its end.
STEPS = st.sampled_from([1, 1, 2, 3, 5, 8, 13, 30, 60, 120])


class Protocol(RuleBasedStateMachine):
    """The actors of one migration. `make_world` is set by the test."""

    make_world: MakeWorld

    def __init__(self) -> None:
        super().__init__()
        self.world: World = self.make_world()
        self.network = self.world.network

    @initialize(is_planned=st.booleans(), steps=STEPS)
    def begin(self, is_planned: bool, steps: int) -> None:
        command = self.world.command(SHARD_KEYS[0], restart=False)
        while is_planned and not self.world.is_planned:
            self.network.step(command)
        self.go_on(command, steps)

    # What may happen

    @property
    def has_room(self) -> bool:
        return len(self.network.actors) < MAX_ACTORS

    @precondition(lambda self: self.has_room)
    @rule(shard_key=st.sampled_from(SHARD_KEYS), restart=st.booleans(), steps=STEPS)
    def command(self, shard_key: str, restart: bool, steps: int) -> None:
        self.go_on(self.world.command(shard_key, restart), steps)

    @precondition(lambda self: self.has_room)
    @rule(index=st.integers(0, CHUNKS - 1), is_requeued=st.booleans(), steps=STEPS)
    def worker(self, index: int, is_requeued: bool, steps: int) -> None:
        self.go_on(self.world.worker(index, is_requeued), steps)

    @precondition(lambda self: self.has_room)
    @rule(steps=STEPS)
    def supervisor(self, steps: int) -> None:
        self.go_on(self.world.supervisor(), steps)

    @precondition(lambda self: self.has_room)
    @rule(verb=st.sampled_from(["pause", "resume", "cancel", "throttle"]), steps=STEPS)
    def control(self, verb: str, steps: int) -> None:
        self.go_on(self.world.control(verb), steps)

    @precondition(lambda self: self.network.actors)
    @rule(choice=st.integers(0, MAX_ACTORS - 1), steps=STEPS)
    def step(self, choice: int, steps: int) -> None:
        self.go_on(self.chosen(choice), steps)

    @precondition(lambda self: self.network.actors)
    @rule(choice=st.integers(0, MAX_ACTORS - 1))
    def time_out(self, choice: int) -> None:
        self.network.time_out(self.chosen(choice))
        self.world.check()

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

    def go_on(self, actor: Actor, steps: int) -> None:
        for _ in range(steps):
            if not actor.is_alive:
                break
            self.network.step(actor)
            self.world.check()
        # Any other exception is a defect.
        assert not isinstance(actor.outcome, BaseException) or isinstance(actor.outcome, QmigError), actor.outcome

    # The end

    def teardown(self) -> None:
        """Whatever has happened: the command, given again, ends with every point in the target."""
        for actor in list(self.network.actors):
            self.network.kill(actor)
        for message in list(self.network.messages):
            message.deliver()
        record = self.world.record
        shard_key = SHARD_KEYS[0] if record is None else record.definition.routing.shard_key or ""
        last = self.world.command(shard_key, restart=False)
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

    Bound.make_world = staticmethod(make_world)  # type: ignore[assignment]
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
