"""qmig moves very large vector collections into Qdrant with a fleet of Celery workers."""

__version__ = "0.1.0"
