"""The Celery application: `celery -A workers worker` runs a worker of qmig's fleet."""

from qmig.broker.app import app

__all__ = ["app"]
