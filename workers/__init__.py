"""The Celery side of qmig's workers: `celery -A workers worker` runs a worker of the fleet."""

import os

from qmig.broker.app import app, use_broker
from qmig.broker.queues import queue_name
from qmig.broker.url import BROKER_VARIABLE, DEFAULT_BROKER, BrokerUrl

# A command of qmig has chosen broker and queue before Celery imports this package; `celery` itself has not.
if app.conf.task_default_queue != queue_name():
    use_broker(BrokerUrl.parse(os.environ.get(BROKER_VARIABLE, DEFAULT_BROKER)))

__all__ = ["app"]
