"""The Celery side of qmig's workers: `celery -A workers worker` runs a worker of the fleet."""

import os
import sys

from qmig.broker.app import app, use_broker
from qmig.broker.queues import queue_name
from qmig.broker.url import BROKER_VARIABLE, DEFAULT_BROKER, BrokerUrl, unusable

# A command of qmig has chosen broker and queue before Celery imports this package; `celery` itself has not.
if app.conf.task_default_queue != queue_name():
    _given = os.environ.get(BROKER_VARIABLE, DEFAULT_BROKER)
    try:
        use_broker(BrokerUrl.parse(_given))
    except ValueError as error:
        sys.exit(f"Error: {unusable(_given, error)}")

__all__ = ["app"]
