"""Check that a Redis can be the broker: its kind, its version, and every command that a fleet needs."""

import uuid
from typing import Any

import redis

from qmig.broker.connection import CLUSTER_HINT, BrokerConnection
from qmig.errors import TransientError, UsageError

#: The oldest Redis whose commands kombu sends.
OLDEST_VERSION = (6, 2)
#: Seconds for which what the check writes would live, if its connection were lost.
CHECK_SECONDS = 60
#: The policy with which a full Redis refuses a write, instead of deleting a task or a key of the registry.
SAFE_POLICY = "noeviction"


def check_broker(broker: BrokerConnection, queue: str) -> list[str]:
    """Check the Redis for the fleet of a queue, and return a line for each setting that is risky.

    UsageError where it is no Redis that can be a broker. TransientError where it does not answer, or refuses.
    """
    broker.guarded(broker.client.ping)
    information = _information(broker)
    _check_kind(broker, information)
    _try_commands(broker, queue)
    policy = information.get("maxmemory_policy", SAFE_POLICY)
    if policy == SAFE_POLICY:
        return []
    return [
        f"the broker {broker.url.shown} has maxmemory-policy {policy}: with its memory full it deletes tasks, which "
        f"then wait until they are queued again; set it to {SAFE_POLICY}"
    ]


def _information(broker: BrokerConnection) -> dict[str, Any]:
    """What the Redis says about itself; nothing where its user may not ask."""
    try:
        found: dict[str, Any] = broker.guarded(_sections, broker.client)
    except TransientError as error:
        if isinstance(error.__context__, redis.exceptions.NoPermissionError):
            return {}
        raise
    return found


def _sections(client: "redis.Redis") -> dict[str, Any]:
    sections: list[Any] = [client.info(section) for section in ("server", "memory")]
    return {name: value for section in sections for name, value in section.items()}


def _raise(error: Exception) -> None:
    raise error


def _check_kind(broker: BrokerConnection, information: dict[str, Any]) -> None:
    where, mode = f"the broker {broker.url.shown} cannot be used", information.get("redis_mode")
    if mode == "cluster":
        raise UsageError(f"{where}: {CLUSTER_HINT}")
    if mode == "sentinel":
        raise UsageError(f"{where}: it is a sentinel; give sentinel://host:26379/0?master_name=NAME")
    version = str(information.get("redis_version", ""))
    numbers = tuple(int(number) for number in version.split(".")[:2] if number.isdecimal())
    if numbers and numbers < OLDEST_VERSION:
        oldest = ".".join(map(str, OLDEST_VERSION))
        raise UsageError(f"{where}: it is Redis {version}, and Celery needs {oldest} or newer")


def _try_commands(broker: BrokerConnection, queue: str) -> None:
    """Send each kind of command that qmig and kombu send, to keys like theirs; nothing is left of it."""
    key, member = f"qmig:check:{uuid.uuid4().hex}", uuid.uuid4().hex
    tried = broker.client.pipeline(transaction=False)
    tried.set(key, member, nx=True, px=CHECK_SECONDS * 1000)
    tried.get(key)
    tried.pttl(key)
    tried.delete(key)
    tried.time()
    tried.eval("return redis.call('EXISTS', KEYS[1])", 1, key)
    tried.script_load("return 1")
    for hash_key in (key, "unacked"):
        tried.hset(hash_key, member, "")
        tried.hsetnx(hash_key, member, "")
        tried.hget(hash_key, member)
        tried.hexists(hash_key, member)
        tried.hdel(hash_key, member)
    tried.hgetall(key)
    tried.hvals(key)
    tried.lpush(key, member)
    tried.expire(key, CHECK_SECONDS)
    tried.rpush(key, member)
    tried.brpop([key], 1)
    tried.rpop(key)
    tried.delete(key)
    tried.zadd("unacked_index", {member: 0})
    tried.zrem("unacked_index", member)
    tried.zrange("unacked_index", 1, 0, desc=True, byscore=True, offset=0, num=1)
    tried.sadd(f"_kombu.binding.{key}", member)
    tried.smembers(f"_kombu.binding.{key}")
    tried.srem(f"_kombu.binding.{key}", member)
    tried.llen(queue)
    # Nobody reads an empty message.
    tried.publish(f"/{broker.url.database}.celeryev/qmig.check", "")
    answers = broker.guarded(tried.execute, raise_on_error=False)
    for answer in answers:
        if isinstance(answer, Exception) and not _is_wrong_type(answer):
            broker.guarded(_raise, answer)
    broker.guarded(_try_transaction, broker, key)
    broker.guarded(_try_listening, broker)


def _is_wrong_type(answer: Exception) -> bool:
    """Whether a key holds another kind of value: whoever uses it deletes it."""
    return str(answer).startswith("WRONGTYPE")


def _try_transaction(broker: BrokerConnection, key: str) -> None:
    with broker.client.pipeline() as pipeline:
        pipeline.watch(key)  # type: ignore[no-untyped-call]
        pipeline.multi()
        pipeline.delete(key)
        pipeline.execute()


def _try_listening(broker: BrokerConnection) -> None:
    with broker.client.pubsub() as listening:  # type: ignore[no-untyped-call]
        listening.psubscribe(f"/{broker.url.database}.celery.pidbox")
        listening.parse_response()
