"""How Celery is set up: JSON only, a task is acknowledged when it is done, events for Flower."""

import os
import warnings

from celery import Celery
from celery.exceptions import CPendingDeprecationWarning

from qmig.broker.queues import queue_name
from qmig.broker.url import BROKER_VARIABLE, TIMEOUTS, normalized, tls_settings

DEFAULT_BROKER = "redis://127.0.0.1:6379/0"

# What Celery says at every lost connection of a setting that is made below.
warnings.filterwarnings("ignore", category=CPendingDeprecationWarning)

app = Celery("qmig", include=["workers.tasks"])


def use_broker(url: str) -> None:
    """Take tasks from this Redis; ValueError where the URL names none."""
    app.conf.broker_url = normalized(url)
    app.conf.broker_use_ssl = tls_settings(app.conf.broker_url)


use_broker(os.environ.get(BROKER_VARIABLE, DEFAULT_BROKER))

app.conf.update(
    task_default_queue=queue_name(),
    task_serializer="json",
    accept_content=["json"],
    task_ignore_result=True,
    # A task whose process dies goes back to the queue; the chunk's lease keeps two workers apart.
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    worker_consumer="workers.consumer:RefusingConsumer",
    worker_send_task_events=True,
    # Not for tasks that merely wait: it would be half of what queueing a chunk costs the coordinator.
    task_send_sent_event=False,
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    worker_cancel_long_running_tasks_on_connection_loss=False,
    # Chunks of dead workers are queued again by whoever watches the ledger, long before this.
    broker_transport_options={"visibility_timeout": 12 * 3600, "socket_keepalive": True, **TIMEOUTS},
)

app.steps["consumer"].add("workers.heartbeat:Heartbeat")
