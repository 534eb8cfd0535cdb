"""The Celery application: `celery -A workers worker` runs a worker of qmig's fleet."""

from workers.application import app

__all__ = ["app"]
