"""Tasks that a broker delivers more than once."""

import redis

from qmig.broker.task import QUEUE


def deliver_again(client: redis.Redis) -> None:
    """Queue every task that waits once more, the same message with the same id."""
    for queue in client.scan_iter(f"{QUEUE}*", _type="list"):
        for message in client.lrange(queue, 0, -1):
            client.rpush(queue, message)
