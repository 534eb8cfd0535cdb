"""The Celery side of qmig's workers: `celery -A workers worker` runs a worker of the fleet."""

from qmig.broker.app import app

__all__ = ["app"]
