"""The faults of a migration, by their names."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress

import psutil

from qmig.ledger.records import State
from tests.support.disturbed_fleet import RESTART, DisturbedFleet
from tests.support.grpc_proxy import Refusal
from tests.support.transient_replies import TRANSIENT

#: Begins a fault. The function that it returns ends the fault; `restore` of the fleet runs as well.
Fault = Callable[[DisturbedFleet, random.Random], Callable[[], object] | None]

#: The kind of fault that needs a cluster.
NODE = "node"
ALIAS_MOVED = "alias moved"
# How often a command is given while an alias points elsewhere.
CALLED_MEANWHILE = 0.5


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


def _restart_beside(fleet: DisturbedFleet, _: random.Random) -> None:
    """The running commands find their migration begun again, and give up; this one goes on."""
    # It would begin with whatever an alias names now.
    if not fleet.ends.moved:
        fleet.call_beside(RESTART)


def _pause(fleet: DisturbedFleet, _: random.Random) -> None:
    fleet.control_with("pause")


def _cancel(fleet: DisturbedFleet, _: random.Random) -> None:
    fleet.control_with("cancel")


def _start_other_version(fleet: DisturbedFleet, _: random.Random) -> None:
    fleet.start_other_version()


def _kill_node(fleet: DisturbedFleet, rng: random.Random) -> None:
    """Kill a node that the migration does not speak to, and that holds replicas of its points and of its ledger."""
    if fleet.ends.cluster is not None:
        rng.choice(fleet.ends.cluster.nodes[1:]).kill()


def _of_alias(role: str) -> dict[str, Fault]:
    def move(fleet: DisturbedFleet, rng: random.Random) -> None:
        # Before its plan a migration may begin with whatever the alias names then.
        has_begun = fleet.ends.state not in (None, State.PREPARING) and not fleet.is_restarting
        if fleet.ends.is_aliased(role) and has_begun:
            fleet.ends.move_alias(role)
            if rng.random() < CALLED_MEANWHILE:
                fleet.call_beside()

    return {f"{role} {ALIAS_MOVED}": move}


def _of_server(role: str) -> dict[str, Fault]:
    def kill(fleet: DisturbedFleet, _: random.Random) -> None:
        fleet.ends.servers[role].kill()

    def end(fleet: DisturbedFleet, _: random.Random) -> None:
        fleet.ends.servers[role].stop()

    def freeze(fleet: DisturbedFleet, _: random.Random) -> Callable[[], object]:
        return _freeze(fleet.ends.servers[role].pid)

    def answer(fleet: DisturbedFleet, rng: random.Random) -> None:
        reply, times = TRANSIENT[rng.choice(sorted(TRANSIENT))], rng.randint(1, 20)
        if role == "target":
            fleet.ends.answering[role].answer("Upsert", reply, times, fleet.ends.names["target"])
            fleet.ends.answering[role].answer("SetPayload", reply, times, fleet.ends.names["ledger"])
        elif isinstance(reply, Refusal):
            fleet.ends.answering[role].answer("Scroll", reply, times, fleet.ends.names["source"])

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


#: The faults by their kinds; every kind is as likely as the others.
FAULTS: dict[str, dict[str, Fault]] = {
    "alias": {**_of_alias("source"), **_of_alias("target")},
    "command": {
        "coordinator killed": _kill_coordinator,
        "second command": _call_beside,
        "second command begins again": _restart_beside,
        "paused": _pause,
        "cancelled": _cancel,
    },
    "network": {**_of_network("source"), **_of_network("target"), **_of_network("redis")},
    NODE: {"node of the target killed": _kill_node},
    "Redis": {
        "Redis killed": _kill_redis,
        "Redis killed and emptied": _lose_redis,
        "Redis full": _fill_redis,
        "Redis read-only": _make_redis_a_replica,
        "tasks delivered again": _deliver_again,
    },
    "server": {**_of_server("source"), **_of_server("target")},
    "worker": {
        "worker child killed": _kill_child,
        "worker child frozen": _freeze_child,
        "worker host frozen": _freeze_host,
        "worker host killed": _kill_host,
        "all worker hosts killed": _kill_all_hosts,
        "worker host ended": _end_host,
        "worker host of another version": _start_other_version,
    },
}
