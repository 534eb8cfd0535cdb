"""The Celery queue of a fleet: one for each secret."""

from qmig.broker.sealing import has_secret, secret_name
from qmig.broker.task import QUEUE


def queue_name() -> str:
    """The queue of this process' secret, or the plain one where it has none.

    A worker with another secret could only refuse the tasks, and would empty the queue faster than others copy.
    """
    return queue_of(secret_name()) if has_secret() else QUEUE


def queue_of(secret: str) -> str:
    """The queue of the secret with this name."""
    return f"{QUEUE}-{secret}"
