"""Calls to the broker's Redis. Its errors become transient ones, with a hint; values of others are deleted."""

import logging
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
import redis

from qmig.broker.url import BrokerUrl
from qmig.errors import TransientError
from qmig.formatting import one_line

#: How Redis' error begins where a key holds another kind of value than the command is for.
WRONG_TYPE = "WRONGTYPE"
#: Redis' answer to PTTL for a key that never expires.
NO_TTL = -1
CLUSTER_HINT = "it is a Redis Cluster, which Celery cannot use; give a Redis that is none"

#: What to do about an answer of Redis, by its class or by how its text begins.
HINTS: tuple[tuple[type[Exception] | str, str], ...] = (
    (redis.exceptions.ReadOnlyError, "it is a read-only replica; give the URL of its master, or of its sentinels"),
    (redis.exceptions.OutOfMemoryError, "its memory is full; raise its maxmemory"),
    ("MISCONF", "its last snapshot failed; see its log"),
    (redis.exceptions.NoPermissionError, "its user needs more rights; docs/security.md has them"),
    (redis.exceptions.AuthenticationError, "give the right user and password in the URL"),
    ("NOAUTH", "give the right user and password in the URL"),
    (redis.exceptions.ClusterError, CLUSTER_HINT),
    ("CLUSTERDOWN", CLUSTER_HINT),
    ("MOVED", CLUSTER_HINT),
    ("CROSSSLOT", CLUSTER_HINT),
    (redis.exceptions.BusyLoadingError, "it is loading its data"),
    ("BUSY", "it is running a script; end it with SCRIPT KILL"),
    ("max number of clients", "raise its maxclients"),
)

#: The answers that may pass by themselves: Redis starts, a snapshot or a failover is under way, a queue drains.
PASSING: tuple[type[Exception] | str, ...] = (
    redis.exceptions.ReadOnlyError,
    redis.exceptions.OutOfMemoryError,
    redis.exceptions.BusyLoadingError,
    "MISCONF",
    "BUSY",
    "max number of clients",
)
#: The reasons of a TransientError: such an answer, any other, and none.
REFUSES_FOR_NOW, REFUSES, UNAVAILABLE = "broker refuses for now", "broker refuses", "broker unavailable"

Value = TypeVar("Value")

log = logging.getLogger(__name__)


def described(error: Exception) -> str:
    """What went wrong at a call to Redis, in one line, with a hint where there is one."""
    text = one_line(error).rstrip(".")
    hint = next((hint for kind, hint in HINTS if _is_of(error, text, kind)), None)
    if hint is None and not isinstance(error, redis.ResponseError):
        return f"does not answer: {text}"
    return f"refuses: {text}" + (f": {hint}" if hint else "")


def _reason(error: Exception) -> str:
    if any(_is_of(error, str(error), kind) for kind in PASSING):
        return REFUSES_FOR_NOW
    return REFUSES if isinstance(error, redis.ResponseError) else UNAVAILABLE


def _is_of(error: Exception, text: str, kind: type[Exception] | str) -> bool:
    return text.startswith(kind) if isinstance(kind, str) else isinstance(error, kind)


class BrokerConnection:
    """The Redis at `url`; every call raises TransientError while it does not answer, or refuses."""

    def __init__(self, url: str) -> None:
        """ValueError if `url` does not name a Redis."""
        self.url = BrokerUrl.parse(url)
        self.client = self.url.client()

    def close(self) -> None:
        self.client.close()

    def call(self, command: str, *arguments: Any, **settings: Any) -> Any:
        """Send a command whose first argument, if it has any, is the key."""
        call = getattr(self.client, command)

        def call_once_more_if_cleared(*arguments: Any, **settings: Any) -> Any:
            try:
                return call(*arguments, **settings)
            except redis.ResponseError as error:
                if not str(error).startswith(WRONG_TYPE):
                    raise
                self._clear(arguments[0], "it is of another type")
                return call(*arguments, **settings)

        return self.guarded(call_once_more_if_cleared, *arguments, **settings)

    def guarded(self, call: Callable[..., Any], *arguments: Any, **settings: Any) -> Any:
        """Make a call of redis-py's; TransientError instead of its errors."""
        try:
            return call(*arguments, **settings)
        except (redis.RedisError, OSError) as error:
            raise TransientError(f"the broker {self.url.shown} {described(error)}", reason=_reason(error)) from None

    def read(self, key: str, parse: Callable[[bytes], Value]) -> Value | None:
        """The value of a key; None if there is none, or one that qmig did not write: `parse` raises ValueError."""
        value = self.call("get", key)
        if value is None:
            return None
        try:
            return parse(value)
        except ValueError as error:
            self._clear(key, one_line(error))
            return None

    def set_for(self, key: str, seconds: float) -> bool:
        """Set a key that expires by itself; whether it did not exist before."""
        if self.call("set", key, "1", nx=True, px=int(seconds * 1000)):
            return True
        self.delete_if_stuck(key, seconds)
        return False

    def delete_if_stuck(self, key: str, seconds: float) -> None:
        """Delete a key that lives longer than the `seconds` that qmig gives it.

        Somebody else wrote it, or Redis' clock was set back since.
        """
        milliseconds = self.call("pttl", key)
        if milliseconds == NO_TTL:
            self._clear(key, "it never expires")
        elif milliseconds > 2000 * seconds:
            self._clear(key, f"it expires in {milliseconds / 1000:,.0f} s, as if Redis' clock had been set back")

    def _clear(self, key: str, problem: str) -> None:
        """Delete the value of a key that qmig did not write like this, and log it."""
        log.warning("the broker held a value under %s that is not qmig's: %s; it was deleted", key, problem)
        self.guarded(self.client.delete, key)


def decode(value: bytes, kind: type[Value]) -> Value:
    """Read JSON as this kind; ValueError if it is something else."""
    try:
        return msgspec.json.decode(value, type=kind)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
