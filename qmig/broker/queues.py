"""The Celery queue of a fleet: one for each secret."""

from qmig.broker.sealing import has_secret, secret_name
from qmig.broker.task import QUEUE


def queue_name() -> str:
    """The queue of those who share this process' secret; of those who have none the plain one.

    A worker with another secret could only refuse the tasks, and would eat them up faster than others copy.
    """
    return queue_of(secret_name()) if has_secret() else QUEUE


def queue_of(secret: str) -> str:
    """The queue of those who share the secret of this name."""
    return f"{QUEUE}-{secret}"
