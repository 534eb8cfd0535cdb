"""The Celery queue of a fleet: one for each secret, and for each version of the tasks."""

from qmig.broker.sealing import has_secret, secret_name
from qmig.broker.task import QUEUE, TASK_VERSION

#: The queue of workers that have no secret; those with a secret have a queue of their own.
PLAIN_QUEUE = f"{QUEUE}-v{TASK_VERSION}"


def queue_name() -> str:
    """The queue of this process' secret, or the plain one where it has none.

    A worker with another secret, or another version of qmig, could only refuse the tasks, and would empty the queue
    faster than others copy.
    """
    return queue_of(secret_name()) if has_secret() else PLAIN_QUEUE


def queue_of(secret: str) -> str:
    """The queue of the secret with this name."""
    return f"{PLAIN_QUEUE}-{secret}"
