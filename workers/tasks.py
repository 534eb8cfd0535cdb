"""The tasks. A worker's children share one flag that tells them to finish the batch in flight and leave."""

import ctypes
import logging
import mmap
import signal
import sys
import time
from typing import Any

import redis
from celery import Task
from celery.exceptions import Reject
from celery.signals import worker_process_init, worker_shutting_down
from kombu.exceptions import OperationalError

from qmig.broker.app import app
from qmig.broker.fleet import Fleet
from qmig.broker.task import MIGRATE_CHUNK, SUPERVISE_MIGRATION, ChunkTask, MigrationTask
from qmig.errors import MigrationStoppedError, QmigError
from qmig.jobs.runner import Worker

log = logging.getLogger(__name__)

# Seconds for which a broker that was away is not told of progress: finding out holds a chunk up.
PROGRESS_BACKOFF = 30.0


class _Progress:
    """Tells Flower how far this process' chunk is, where the broker is there."""

    def __init__(self) -> None:
        self._not_before = 0.0

    def show(self, task: Task, text: str) -> None:
        if time.monotonic() < self._not_before:
            return
        try:
            task.send_event("task-progress", retry=False, result=text)
        except (OperationalError, redis.RedisError, OSError) as error:
            self._not_before = time.monotonic() + PROGRESS_BACKOFF
            log.debug("progress was not shown: %s", error)


# Anonymous shared memory, inherited by the fork: the parent writes it, the children read it between batches.
_stop = mmap.mmap(-1, 1)
_progress = _Progress()
_worker = Worker(lambda: Fleet(str(app.conf.broker_url)), stop_requested=lambda: _stop[0] != 0)


class _HideRejectTraceback(logging.Filter):
    """A chunk that is given back is no error: Celery's line about it goes without the traceback."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.exc_info and isinstance(record.exc_info[1], Reject):
            record.exc_info = None
        return True


logging.getLogger("celery.app.trace").addFilter(_HideRejectTraceback())


@worker_shutting_down.connect
def _leave_after_the_batch(**_: Any) -> None:
    _stop[0] = 1


@worker_process_init.connect
def _die_with_the_parent(**_: Any) -> None:
    """A child whose parent was killed would copy on unseen; Linux can end it with the parent."""
    if sys.platform == "linux":
        parent_death_signal = 1
        ctypes.CDLL(None).prctl(parent_death_signal, signal.SIGKILL)


@app.task(bind=True, name=MIGRATE_CHUNK, throws=(QmigError,))
def migrate_chunk(self: Task, **kwargs: Any) -> str:
    """Copy or verify one chunk of a migration; Flower shows its progress and what it came to."""
    task = ChunkTask.from_kwargs(kwargs)
    try:
        return _worker.work_on(task, lambda text: _progress.show(self, text))
    except MigrationStoppedError as stopped:
        if _stop[0]:
            raise Reject(str(stopped), requeue=True) from None
        return str(stopped)
    finally:
        if not _stop[0]:
            _supervise_at_the_end(task)


@app.task(name=SUPERVISE_MIGRATION, throws=(QmigError,), send_events=False)
def supervise_migration(**kwargs: Any) -> str:
    """See to a migration: queue its chunks, take up those of dead workers, and close its books at the end."""
    return _worker.supervise(MigrationTask.from_kwargs(kwargs))


def _supervise_at_the_end(task: ChunkTask) -> None:
    try:
        _worker.after_chunk(task)
    except QmigError as error:
        log.warning("migration %s could not be seen to: %s; trying again", task.migration_task.migration, error)
