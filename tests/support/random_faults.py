"""Random faults at random moments for as long as a migration takes, and its contents compared at the end.

The seed decides which faults come in which order, how long each lasts and what lies between them.
"""

from __future__ import annotations

import random
import signal
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.support.disturbed_fleet import DisturbedFleet
from tests.support.grpc_proxy import Refusal
from tests.support.transient_replies import TRANSIENT

# Seconds that a migration gets to end when nothing happens to it any more.
PATIENCE = 240.0
# Seconds between two faults, and that one lasts: most are short, some outlast a lease.
PAUSES = (0.5, 4.0)
SHORT, LONG = (0.2, 5.0), (16.0, 22.0)
LONG_ONES = 0.15
TWO_AT_ONCE = 0.3

#: Part of the refusal of a command while another one begins the same migration.
BEGINNING = "another command is beginning"

#: Begins a fault. The function that it returns ends the fault; `restore` of the fleet runs as well.
Fault = Callable[[DisturbedFleet, random.Random], Callable[[], object] | None]


@dataclass
class Mix:
    """One run of faults; `log` is what was done, a line each."""

    seed: int
    points: int
    say: Callable[[str], object] = print
    log: list[str] = field(default_factory=list)

    def run(self, seconds: float) -> None:
        """One migration after another until the time is over; AssertionError with seed and log where one fails."""
        rng = random.Random(self.seed)
        began = self._began = time.monotonic()
        with (
            tempfile.TemporaryDirectory(prefix="qmig-faults-") as directory,
            DisturbedFleet(Path(directory), self.points) as fleet,
        ):
            while True:
                fleet.migrate()
                self._note("a migration begins")
                try:
                    self._disturb(fleet, rng, began + seconds)
                    self._settle(fleet)
                except AssertionError as error:
                    log = "\n".join(self.log)
                    raise AssertionError(f"seed {self.seed}: {error}\n{log}\n{fleet.logs()}") from error
                self._note("equal contents")
                if time.monotonic() - began > seconds:
                    return

    def _disturb(self, fleet: DisturbedFleet, rng: random.Random, end: float) -> None:
        """Begin faults at random until the migration or the time is over."""
        while time.monotonic() < end:
            pause = rng.uniform(*PAUSES)
            names = rng.sample(sorted(FAULTS), 2 if rng.random() < TWO_AT_ONCE else 1)
            lasting = rng.uniform(*(LONG if rng.random() < LONG_ONES else SHORT))
            if self._ended_within(fleet, pause):
                return
            self._note(f"{' and '.join(names)} for {lasting:.1f} s")
            ends = [FAULTS[name](fleet, rng) for name in names]
            ended = self._ended_within(fleet, lasting)
            for undo in ends:
                if undo is not None:
                    undo()
            fleet.restore()
            if fleet.coordinator is not None and not fleet.coordinator.running and not ended:
                fleet.call_again()
            if ended:
                return

    def _ended_within(self, fleet: DisturbedFleet, seconds: float) -> bool:
        """Whether the migration's command ends by itself within so long; it has to end well."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            coordinator = fleet.coordinator
            assert coordinator is not None
            if not coordinator.running and (status := coordinator.wait()) != -signal.SIGKILL:
                assert status == 0, f"the command ended with {status}: {coordinator.last_lines()}"
                return True
            time.sleep(0.1)
        return False

    def _settle(self, fleet: DisturbedFleet) -> None:
        assert self._ended_within(fleet, PATIENCE), f"no end within {PATIENCE:g} s after the last fault"
        self._settle_second(fleet)
        assert (difference := fleet.difference()) is None, difference

    def _settle_second(self, fleet: DisturbedFleet) -> None:
        """The second command ends as well as the first; it may have been refused while the first one began."""
        if fleet.second is not None:
            status = fleet.second.wait(PATIENCE)
            last = fleet.second.last_lines()
            assert status == 0 or BEGINNING in last, f"the second command ended with {status}: {last}"

    def _note(self, what: str) -> None:
        self.log.append(f"{time.monotonic() - self._began:6.1f} s  {what}")
        self.say(self.log[-1])


# The faults


def _kill_child(fleet: DisturbedFleet, rng: random.Random) -> None:
    if children := fleet.children():
        with suppress(psutil.NoSuchProcess):
            rng.choice(children).kill()


def _freeze_child(fleet: DisturbedFleet, rng: random.Random) -> Callable[[], object] | None:
    if not (children := fleet.children()):
        return None
    return _freeze(rng.choice(children).pid)


def _freeze_host(fleet: DisturbedFleet, rng: random.Random) -> Callable[[], object]:
    return _freeze(rng.choice(fleet.hosts).pid)


def _freeze(pid: int) -> Callable[[], object]:
    with suppress(psutil.NoSuchProcess):
        psutil.Process(pid).suspend()

    def wake() -> None:
        with suppress(psutil.NoSuchProcess):
            psutil.Process(pid).resume()

    return wake


def _kill_host(fleet: DisturbedFleet, rng: random.Random) -> None:
    rng.choice(fleet.hosts).kill()


def _kill_all_hosts(fleet: DisturbedFleet, _: random.Random) -> None:
    for host in fleet.hosts:
        host.kill()


def _end_host(fleet: DisturbedFleet, rng: random.Random) -> Callable[[], object]:
    host = rng.choice(fleet.hosts)
    with suppress(psutil.NoSuchProcess):
        psutil.Process(host.pid).terminate()
    # Its batches in flight may end; one that cannot end them is killed.
    return lambda: host.stop(timeout=30)


def _kill_coordinator(fleet: DisturbedFleet, _: random.Random) -> None:
    if fleet.coordinator is not None:
        fleet.coordinator.kill()


def _kill_redis(fleet: DisturbedFleet, _: random.Random) -> None:
    fleet.redis.kill()


def _lose_redis(fleet: DisturbedFleet, _: random.Random) -> None:
    fleet.redis.kill()
    fleet.empty_redis()


def _fill_redis(fleet: DisturbedFleet, _: random.Random) -> Callable[[], object]:
    """Every write is refused for lack of memory."""
    fleet.configure_redis("CONFIG", "SET", "maxmemory", "1")
    return lambda: fleet.configure_redis("CONFIG", "SET", "maxmemory", "0")


def _make_redis_a_replica(fleet: DisturbedFleet, _: random.Random) -> Callable[[], object]:
    """Every write is refused, as after a failover to another Redis."""
    fleet.configure_redis("REPLICAOF", "127.0.0.1", "1")
    return lambda: fleet.configure_redis("REPLICAOF", "NO", "ONE")


def _deliver_again(fleet: DisturbedFleet, _: random.Random) -> None:
    with suppress(ConnectionError):
        fleet.deliver_again()


def _call_beside(fleet: DisturbedFleet, _: random.Random) -> None:
    fleet.call_beside()


def _start_other_version(fleet: DisturbedFleet, _: random.Random) -> None:
    fleet.start_other_version()


def _of_server(role: str) -> dict[str, Fault]:
    def kill(fleet: DisturbedFleet, _: random.Random) -> None:
        fleet.servers[role].kill()

    def end(fleet: DisturbedFleet, _: random.Random) -> None:
        fleet.servers[role].stop()

    def freeze(fleet: DisturbedFleet, _: random.Random) -> Callable[[], object]:
        return _freeze(fleet.servers[role].pid)

    def answer(fleet: DisturbedFleet, rng: random.Random) -> None:
        reply, times = TRANSIENT[rng.choice(sorted(TRANSIENT))], rng.randint(1, 20)
        if role == "target":
            fleet.answering[role].answer("Upsert", reply, times, fleet.names["target"])
            fleet.answering[role].answer("SetPayload", reply, times, fleet.names["ledger"])
        elif isinstance(reply, Refusal):
            fleet.answering[role].answer("Scroll", reply, times, fleet.names["source"])

    return {f"{role} killed": kill, f"{role} ended": end, f"{role} frozen": freeze, f"{role} refuses calls": answer}


def _of_network(role: str) -> dict[str, Fault]:
    def cut(fleet: DisturbedFleet, _: random.Random) -> None:
        fleet.proxies[role].cut()

    def refuse(fleet: DisturbedFleet, _: random.Random) -> None:
        fleet.proxies[role].refuse()

    def reset(fleet: DisturbedFleet, _: random.Random) -> None:
        fleet.proxies[role].reset()

    def delay(fleet: DisturbedFleet, rng: random.Random) -> None:
        fleet.proxies[role].delay(rng.uniform(0.02, 0.3))

    def throttle(fleet: DisturbedFleet, rng: random.Random) -> None:
        fleet.proxies[role].throttle(rng.uniform(20_000, 500_000))

    return {
        f"network to {role} cut": cut,
        f"network to {role} refuses": refuse,
        f"network to {role} reset": reset,
        f"network to {role} slow": delay,
        f"network to {role} narrow": throttle,
    }


FAULTS: dict[str, Fault] = {
    "worker child killed": _kill_child,
    "worker child frozen": _freeze_child,
    "worker host frozen": _freeze_host,
    "worker host killed": _kill_host,
    "all worker hosts killed": _kill_all_hosts,
    "worker host ended": _end_host,
    "coordinator killed": _kill_coordinator,
    "Redis killed": _kill_redis,
    "Redis killed and emptied": _lose_redis,
    "Redis full": _fill_redis,
    "Redis read-only": _make_redis_a_replica,
    "tasks delivered again": _deliver_again,
    "second command": _call_beside,
    "worker host of another version": _start_other_version,
    **_of_server("source"),
    **_of_server("target"),
    **_of_network("source"),
    **_of_network("target"),
    **_of_network("redis"),
}
