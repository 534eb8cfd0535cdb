"""A Redis that answers and refuses, in the ways that Redis has, and the end of it."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

import psutil
import redis

from qmig.embedded.child_process import free_port
from qmig.embedded.redis import EmbeddedRedis
from tests.support.waiting import until

Refusal = Callable[[EmbeddedRedis, "redis.Redis"], Callable[[], None]]


def out_of_memory(_: EmbeddedRedis, client: "redis.Redis") -> Callable[[], None]:
    client.config_set("maxmemory", "1")
    return lambda: bool(client.config_set("maxmemory", "0")) and None


def read_only(_: EmbeddedRedis, client: "redis.Redis") -> Callable[[], None]:
    # Its master never answers, as after a failover to a replica whose master is gone.
    client.config_set("replica-serve-stale-data", "yes")
    client.execute_command("REPLICAOF", "127.0.0.1", str(free_port()))
    return lambda: client.execute_command("REPLICAOF", "NO", "ONE")


def failed_snapshot(server: EmbeddedRedis, client: "redis.Redis") -> Callable[[], None]:
    client.config_set("save", "3600 1")
    # A snapshot that takes long enough to be killed.
    client.config_set("rdb-key-save-delay", "10000000")
    client.set("unsaved", "1")
    client.bgsave()
    for child in psutil.Process(server.pid).children():
        child.kill()
    until(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err", "the snapshot failing")

    def end() -> None:
        client.config_set("save", "")
        client.config_set("rdb-key-save-delay", "0")

    return end


def other_password(server: EmbeddedRedis, client: "redis.Redis") -> Callable[[], None]:
    client.config_set("requirepass", "another")
    _disconnect_others(client)
    return lambda: bool(client.config_set("requirepass", server.password)) and None


def fewer_rights(_: EmbeddedRedis, client: "redis.Redis") -> Callable[[], None]:
    client.execute_command("ACL", "SETUSER", "admin", "on", ">admin", "~*", "&*", "+@all")
    client.execute_command("AUTH", "admin", "admin")
    client.execute_command("ACL", "SETUSER", "default", "-@write", "-@scripting")
    return lambda: client.execute_command("ACL", "SETUSER", "default", "+@all")


def no_more_clients(_: EmbeddedRedis, client: "redis.Redis") -> Callable[[], None]:
    before = client.config_get("maxclients")["maxclients"]
    client.config_set("maxclients", "1")
    _disconnect_others(client)
    return lambda: bool(client.config_set("maxclients", before)) and None


def busy_script(server: EmbeddedRedis, client: "redis.Redis") -> Callable[[], None]:
    client.config_set("lua-time-limit" if _is_old(client) else "busy-reply-threshold", "1")

    def run() -> None:
        with redis.Redis.from_url(server.url) as other, suppress(redis.RedisError):
            other.eval("while true do end", 0)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()

    def end() -> None:
        client.script_kill()
        thread.join()

    return end


def _is_old(client: "redis.Redis") -> bool:
    return int(str(client.info("server")["redis_version"]).split(".")[0]) < 7


def _disconnect_others(client: "redis.Redis") -> None:
    client.execute_command("CLIENT", "KILL", "SKIPME", "yes")


REFUSALS: dict[str, Refusal] = {
    "out-of-memory": out_of_memory,
    "read-only": read_only,
    "failed-snapshot": failed_snapshot,
    "other-password": other_password,
    "fewer-rights": fewer_rights,
    "no-more-clients": no_more_clients,
    "busy-script": busy_script,
}


@contextmanager
def refusing(server: EmbeddedRedis, refusal: Refusal) -> Iterator[None]:
    """The Redis refuses for as long as the block runs."""
    with ExitStack() as stack:
        client = stack.enter_context(redis.Redis.from_url(server.url, single_connection_client=True))
        client.ping()
        stack.callback(refusal(server, client))
        yield
