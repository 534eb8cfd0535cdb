"""Redis and Celery: the application, its tasks, the sealed access, and who is on the fleet."""
