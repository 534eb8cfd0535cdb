"""The Celery application: JSON only, late acknowledgement, events for Flower."""

import warnings

from celery import Celery
from celery.exceptions import CPendingDeprecationWarning

from qmig.broker.queues import queue_name
from qmig.broker.url import BrokerUrl

# At every lost connection Celery warns about a setting that is made below.
warnings.filterwarnings("ignore", category=CPendingDeprecationWarning)

#: Seconds after which Redis delivers a task again that was never acknowledged. Chunks of dead workers are queued
#: again by the supervisor, long before this.
VISIBILITY_TIMEOUT = 12 * 3600

app = Celery("qmig", include=["workers.tasks"])
app.conf.update(
    task_serializer="json",
    accept_content=["json"],
    task_ignore_result=True,
    # A task whose process dies goes back to the queue; the chunk's lease keeps two workers apart.
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    worker_consumer="workers.consumer:RefusingConsumer",
    worker_send_task_events=True,
    # The event that a task was sent would double the coordinator's cost of queueing a chunk.
    task_send_sent_event=False,
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    worker_cancel_long_running_tasks_on_connection_loss=False,
)
app.steps["consumer"].add("workers.heartbeat:Heartbeat")


def use_broker(url: BrokerUrl) -> None:
    """Use this Redis, and the queue of this process' secret and version."""
    settings = url.celery_settings()
    settings["broker_transport_options"]["visibility_timeout"] = VISIBILITY_TIMEOUT
    app.conf.update(**settings, task_default_queue=queue_name())
    # Not a setting: a worker answers with its settings to whoever asks, and Celery would not know what to hide.
    app.qmig_broker = url


def broker_in_use() -> str:
    """The URL of the Redis that this process uses."""
    return str(app.qmig_broker)
