"""Redis and Celery: the application, its tasks, sealed access grants, and the registry of the fleet."""
