"""The rules of the state machine, and the schedules that it is made to look for."""

from collections.abc import Callable, Sequence

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from qmig.errors import QmigError
from qmig.ledger.lease import LEASE_SECONDS
from qmig.ledger.records import State
from tests.model.conftest import MakeWorld
from tests.model.messages import is_write, is_writing
from tests.model.network import Actor
from tests.model.world import CHUNK_SIZE, HOSTS, POINTS, World

# Commands at once, and actors.
MAX_COMMANDS = 2
MAX_ACTORS = 5
CHUNKS = POINTS // CHUNK_SIZE
# How far an actor goes: until it waits for its first write, its second and so on, until it sleeps, or on and on while
# an idle lease expires. What goes wrong goes wrong between a look and a write.
UNTIL_IT_SLEEPS, FOR_LONG = 1000, 1001
FAR = st.sampled_from([1, 1, 2, 3, 4, 5, 6, 8, 10, UNTIL_IT_SLEEPS, UNTIL_IT_SLEEPS, UNTIL_IT_SLEEPS, FOR_LONG])
# How far the two actors of a race go in turns: short ways first, so that both stand between a look and a write.
TURNS = st.tuples(
    st.sampled_from([1, 1, 1, 2, 3, 4, 5, 6]),
    st.sampled_from([1, 2, 3, 4, 5, FOR_LONG, FOR_LONG]),
    st.sampled_from([1, 1, 2, 3]),
    st.sampled_from([1, 3, UNTIL_IT_SLEEPS, UNTIL_IT_SLEEPS]),
)
LONG_SECONDS = LEASE_SECONDS + 5.0
MAX_STEPS = 400

Begin = Callable[[World], Actor]
COMMAND: Begin = lambda world: world.command(world.shard_key, restart=False)  # noqa: E731
RESTART: Begin = lambda world: world.restart()  # noqa: E731
WORKER: Begin = lambda world: world.worker(0)  # noqa: E731
SUPERVISOR: Begin = lambda world: world.supervisor()  # noqa: E731
PAUSE: Begin = lambda world: world.control("pause")  # noqa: E731
CANCEL: Begin = lambda world: world.control("cancel")  # noqa: E731
# Who races whom: each pair changes the same records.
RACES = {
    "a worker and a restart": (WORKER, RESTART),
    "two planners": (COMMAND, COMMAND),
    "a planner and a restart": (COMMAND, RESTART),
    "two workers": (WORKER, WORKER),
    "a worker and a pause": (WORKER, PAUSE),
    "a worker and a cancel": (WORKER, CANCEL),
    "a supervisor and a cancel": (SUPERVISOR, CANCEL),
    "a supervisor and a command": (SUPERVISOR, COMMAND),
    "a cancel and a command": (CANCEL, COMMAND),
}


class Protocol(RuleBasedStateMachine):
    """The actors of one migration. `make_world` is set by the test."""

    make_world: MakeWorld
    world: World

    @initialize(is_created=st.booleans(), is_planned=st.booleans(), far=FAR)
    def begin(self, is_created: bool, is_planned: bool, far: int) -> None:
        self.world = self.make_world(is_created)
        self.network = self.world.network
        command = self.world.command(self.world.shard_key, restart=False)
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
    @rule(far=FAR, is_detached=st.booleans())
    def command(self, far: int, is_detached: bool) -> None:
        self.go_on(self.world.command(self.world.shard_key, restart=False, is_detached=is_detached), far)

    @precondition(lambda self: self.may_begin and self.world.record is not None)
    @rule(far=FAR)
    def restart(self, far: int) -> None:
        self.go_on(self.world.restart(), far)

    @precondition(lambda self: self.has_room)
    @rule(index=st.integers(0, CHUNKS - 1), far=FAR)
    def worker(self, index: int, far: int) -> None:
        self.go_on(self.world.worker(index), far)

    @precondition(lambda self: self.has_room)
    @rule(index=st.integers(0, CHUNKS - 1), age=st.integers(0, 5), far=FAR)
    def worker_with_queued_task(self, index: int, age: int, far: int) -> None:
        """The task may be of an earlier run."""
        self.go_on(self.world.worker(index, age), far)

    @precondition(lambda self: self.has_room)
    @rule(far=FAR)
    def supervisor(self, far: int) -> None:
        self.go_on(self.world.supervisor(), far)

    @precondition(lambda self: self.has_room)
    @rule(host=st.integers(0, HOSTS - 1), far=FAR)
    def timer(self, host: int, far: int) -> None:
        self.go_on(self.world.timer(host), far)

    @precondition(lambda self: self.has_room)
    @rule(verb=st.sampled_from(["pause", "resume", "resume", "resume", "cancel", "throttle"]), far=FAR)
    def control(self, verb: str, far: int) -> None:
        self.go_on(self.world.control(verb), far)

    @precondition(lambda self: self.may_begin and self.has_room and self.world.record is not None)
    @rule(pair=st.sampled_from(sorted(RACES)), turns=TURNS, waits=st.booleans())
    def race(self, pair: str, turns: Sequence[int], waits: bool) -> None:
        """Two actors go on in turns. While the first one stands, a lease may expire."""
        self.go_on_in_turns([begin(self.world) for begin in RACES[pair]], turns, waits)

    @precondition(lambda self: self.may_begin and self.has_room and self.world.state == State.RUNNING)
    @rule(index=st.integers(0, CHUNKS - 1), far=st.integers(2, 6), further=st.integers(1, 2))
    def restart_beside_a_claim(self, index: int, far: int, further: int) -> None:
        """The migration begins again while a worker stands between its look and its claim."""
        actors = [self.world.worker(index), self.world.restart()]
        self.go_on_in_turns(actors, (1, far, further, UNTIL_IT_SLEEPS), waits=False)

    @precondition(lambda self: self.may_begin and self.has_room and self.world.record is not None)
    @rule(writes=st.integers(1, 5), is_restart=st.booleans())
    def overtake_a_planner(self, writes: int, is_restart: bool) -> None:
        """Another command takes over the plan while a planner stands before one of its writes."""
        planner = self.world.restart()
        for _ in range(MAX_STEPS):
            if not planner.is_alive or (self.world.state == State.RUNNING and not self.world.is_planned):
                break
            self.go_on(planner, 1)
        actors = [planner, RESTART(self.world) if is_restart else COMMAND(self.world)]
        self.go_on_in_turns(actors, (writes, FOR_LONG, 1), waits=True)

    def go_on_in_turns(self, actors: Sequence[Actor], turns: Sequence[int], waits: bool) -> None:
        for number, far in enumerate(turns):
            actor = actors[number % 2]
            if number == 1 and waits:
                self.network.pass_time(LEASE_SECONDS)
            if actor.is_alive:
                self.go_on(actor, far)

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

    @rule()
    def lose_redis(self) -> None:
        """Redis loses everything."""
        self.network.redis.lose_everything()

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
        if not hasattr(self, "world"):
            return
        for actor in list(self.network.actors):
            self.go_on(actor, UNTIL_IT_SLEEPS)
        self.network.kill_all()
        for message in list(self.network.messages):
            message.deliver()
            self.world.check()
        last = self.world.command(self.world.shard_key, restart=False)
        for _ in range(40):
            for _ in range(80):
                if last.is_alive:
                    self.network.step(last)
            for index in range(CHUNKS):
                self.world.run_to_the_end(self.world.worker(index, age=0))
            self.world.run_to_the_end(self.world.supervisor())
            if not last.is_alive:
                break
        self.world.check()
        now = self.world.record
        assert now is not None
        end = (now.state, now.error, last.outcome)
        assert end == (State.DONE, None, None), f"it ends as {end}"
        self.world.must.check_repeats()
        self.world.must.check_settled()
