"""Kombu's connection to Redis, made to outlive every answer of Redis.

Kombu takes only lost connections for errors that a worker survives. An answer such as "out of memory" or "read only
replica" would end the worker wherever it comes: at a read, an acknowledgement, an event or a remote command. Here
each of redis-py's errors is one of the connection: the worker connects again, and waits until Redis can be used.
"""

import logging
from queue import Empty
from typing import Any, ClassVar

from kombu.transport import redis, virtual
from redis import RedisError

from qmig.broker.outage import OutageLog
from qmig.formatting import one_line, shorten

log = logging.getLogger(__name__)


class LateQoS(redis.QoS):
    """Kombu's record of the tasks that are not acknowledged. What Redis refuses to settle is settled later.

    Kombu would leave the task with the worker, which then takes one task less for ever.
    """

    #: Tasks whose end could not be written, and whether each goes back to the queue. A new connection settles them.
    late: ClassVar[dict[str, bool]] = {}
    outage: ClassVar[OutageLog] = OutageLog(log)

    def ack(self, delivery_tag: str) -> None:
        """Acknowledge a task, and those that are late."""
        self._settle(delivery_tag, requeue=False)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Give a task back to the queue, or drop it."""
        self._settle(delivery_tag, requeue)

    def restore_unacked(self, client: Any = None) -> list[Any]:
        """Give all tasks back to the queue as the connection is closed. Kombu takes the result for what failed."""
        for tag in self._delivered:
            self.late[tag] = True
        self._delivered.clear()
        self._settle_late(client)
        return []

    def _settle(self, delivery_tag: str, requeue: bool) -> None:
        self.late[delivery_tag] = requeue
        virtual.QoS.ack(self, delivery_tag)  # type: ignore[no-untyped-call]
        self._settle_late()

    def _settle_late(self, client: Any = None) -> None:
        try:
            for tag, requeue in list(self.late.items()):
                if requeue:
                    self.restore_by_tag(tag, client=client, leftmost=True)  # type: ignore[no-untyped-call]
                else:
                    self._remove_from_indices(tag).execute()  # type: ignore[no-untyped-call]
                del self.late[tag]
        except (RedisError, OSError) as error:
            self.outage.began(f"the end of a task could not be told to the broker: {one_line(error)}; later again")
        else:
            self.outage.ended("the broker was told the end of every task")


class _Refusing:
    """A channel that refuses an entry of the queue that is no message. Kombu would end the whole worker."""

    QoS = LateQoS

    def _brpop_read(self, **options: Any) -> Any:
        try:
            return super()._brpop_read(**options)  # type: ignore[misc]
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
            log.error("an entry of the queue was refused: it is no message: %s", shorten(str(error)))  # noqa: TRY400
            raise Empty from None


class RefusingChannel(_Refusing, redis.Channel):
    """The channel to a Redis at an address."""


class RefusingSentinelChannel(_Refusing, redis.SentinelChannel):
    """The channel to the master that sentinels know."""


def install() -> None:
    """Have kombu use these classes. A connection makes its first channel at once, so this comes before the first."""
    redis.Transport.Channel = RefusingChannel
    redis.SentinelTransport.Channel = RefusingSentinelChannel
    redis.Transport.connection_errors = (*redis.Transport.connection_errors, RedisError)
