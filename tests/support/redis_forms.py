"""Redis in the other forms that a broker's URL has: behind a socket, behind sentinels, and as a cluster."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import redis

from qmig.embedded.child_process import ChildProcess, free_port
from qmig.embedded.redis import EmbeddedRedis, find_redis_server
from tests.support.waiting import until

MASTER = "mine"
PASSWORD = "geheim"


@contextmanager
def redis_with(*lines: str) -> Iterator[ChildProcess]:
    """A redis-server with this configuration, ready."""
    process = ChildProcess(
        [find_redis_server(), "-"], name="redis-server", stdin="\n".join([*lines, 'save ""', ""]).encode()
    )
    try:
        process.wait_for_line("eady to accept connections")
        yield process
    finally:
        process.stop()


@contextmanager
def redis_behind_a_socket(directory: Path) -> Iterator[str]:
    """A Redis that listens on a socket alone; its URL."""
    path = directory / "redis.sock"
    with redis_with("port 0", f"unixsocket {path}", f"requirepass {PASSWORD}"):
        yield f"redis+socket://:{PASSWORD}@{path}?db=3"


@contextmanager
def redis_cluster(directory: Path) -> Iterator[str]:
    """A Redis in cluster mode that serves all slots; its URL."""
    port = free_port()
    with redis_with(f"port {port}", "bind 127.0.0.1", "cluster-enabled yes", f"dir {directory}"):
        with redis.Redis(port=port) as client:
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", "0", "16383")
        yield f"redis://127.0.0.1:{port}/0"


@dataclass
class Sentinels:
    """A master, its replica, and the sentinels that watch them."""

    url: str
    master: EmbeddedRedis
    replica: EmbeddedRedis


@contextmanager
def sentinels(directory: Path, number: int = 2) -> Iterator[Sentinels]:
    """Sentinels that make the replica the master within a few seconds after the master's end."""
    with ExitStack() as stack:
        master, replica = EmbeddedRedis(directory / "master"), EmbeddedRedis(directory / "replica")
        stack.enter_context(master)
        replica.password = master.password
        stack.enter_context(replica)
        for server in (master, replica):
            with redis.Redis.from_url(server.url) as client:
                client.config_set("masterauth", master.password)
        with redis.Redis.from_url(replica.url) as client:
            client.execute_command("REPLICAOF", "127.0.0.1", str(master.port))
            until(lambda: client.info("replication")["master_link_status"] == "up", "the replica being in step")
        ports = [stack.enter_context(_sentinel(directory / str(one), master)) for one in range(number)]
        _until_they_know_the_replica(ports)
        hosts = ";".join(f"sentinel://:{master.password}@127.0.0.1:{port}" for port in ports)
        yield Sentinels(f"{hosts}/0?master_name={MASTER}", master, replica)


@contextmanager
def _sentinel(directory: Path, master: EmbeddedRedis) -> Iterator[int]:
    directory.mkdir()
    port, configuration = free_port(), directory / "sentinel.conf"
    lines = [
        f"port {port}",
        "bind 127.0.0.1",
        f"dir {directory}",
        f"sentinel monitor {MASTER} 127.0.0.1 {master.port} 1",
        f"sentinel auth-pass {MASTER} {master.password}",
        f"sentinel down-after-milliseconds {MASTER} 1000",
        f"sentinel failover-timeout {MASTER} 5000",
    ]
    configuration.write_text("\n".join(lines))
    process = ChildProcess([find_redis_server(), str(configuration), "--sentinel"], name="sentinel")
    try:
        process.wait_for_line("+monitor master")
        yield port
    finally:
        process.stop()


def _until_they_know_the_replica(ports: Sequence[int]) -> None:
    for port in ports:
        with redis.Redis(port=port) as client:
            until(lambda asked=client: asked.sentinel_slaves(MASTER), "the sentinel knowing the replica")
