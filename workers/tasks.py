"""The tasks of qmig's workers. The processes of a worker share a flag that tells them to stop after a batch."""

import ctypes
import logging
import mmap
import signal
import sys
import time
from typing import Any

import redis
from celery import Task
from celery.exceptions import Reject, WorkerLostError
from celery.signals import worker_process_init, worker_shutting_down
from kombu.exceptions import OperationalError

from qmig.broker.app import app, broker_in_use
from qmig.broker.fleet import Fleet
from qmig.broker.task import MIGRATE_CHUNK, SUPERVISE_MIGRATION, ChunkTask, MigrationTask
from qmig.errors import ChunkSetAsideError, MigrationStoppedError, QmigError
from qmig.jobs.runner import Worker

log = logging.getLogger(__name__)

#: Seconds without progress events after the broker was unavailable: each attempt to send one would delay the chunk.
PROGRESS_BACKOFF = 30.0


class _Progress:
    """Sends the progress of this process' chunk to Flower while the broker is available."""

    def __init__(self) -> None:
        #: The time of the next attempt.
        self._not_before = 0.0

    def send(self, task: Task, text: str) -> None:
        if time.monotonic() < self._not_before:
            return
        try:
            task.send_event("task-progress", retry=False, result=text)
        except (OperationalError, redis.RedisError, OSError) as error:
            self._not_before = time.monotonic() + PROGRESS_BACKOFF
            log.debug("the progress could not be sent: %s", error)


# Anonymous shared memory, inherited by the fork: the parent writes it, the children read it between batches.
_stop = mmap.mmap(-1, 1)
_progress = _Progress()
_worker = Worker(lambda: Fleet(broker_in_use()), stop_requested=lambda: _stop[0] != 0)


class _HideTraceback(logging.Filter):
    """Removes the traceback from a log line of Celery that says all without it.

    A released chunk, as a rejected task, is no error, and a process that was killed has no frames of its own.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        # Celery may wrap the error itself, not its class.
        if record.exc_info and record.exc_info[0] in (Reject, WorkerLostError):
            record.exc_info = None
        return True


for _logger in ("celery.app.trace", "celery.worker.request"):
    logging.getLogger(_logger).addFilter(_HideTraceback())


@worker_shutting_down.connect
def _stop_after_the_batch(**_: Any) -> None:
    _stop[0] = 1


@worker_process_init.connect
def _die_with_the_parent(**_: Any) -> None:
    """End this process when its parent is killed, which Linux can do: nobody could stop it otherwise."""
    if sys.platform == "linux":
        parent_death_signal = 1
        ctypes.CDLL(None).prctl(parent_death_signal, signal.SIGKILL)


@app.task(bind=True, name=MIGRATE_CHUNK, throws=(QmigError,))
def migrate_chunk(self: Task, **kwargs: Any) -> str:
    """Copy or verify one chunk of a migration. Flower shows the progress and the result."""
    task = ChunkTask.from_kwargs(kwargs)
    try:
        return _worker.run_chunk(task, lambda text: _progress.send(self, text))
    except ChunkSetAsideError as set_aside:
        # At once, while this process is still busy: a worker that waits for a task gets it, and not this one again.
        raise Reject(str(set_aside), requeue=True) from None
    except MigrationStoppedError as stopped:
        if _stop[0]:
            raise Reject(str(stopped), requeue=True) from None
        return str(stopped)
    finally:
        if not _stop[0]:
            _supervise_if_due(task)


@app.task(name=SUPERVISE_MIGRATION, throws=(QmigError,), send_events=False)
def supervise_migration(**kwargs: Any) -> str:
    """Drive a migration on: queue its chunks, requeue stalled ones, and bring it to its end when none is left."""
    return _worker.supervise(MigrationTask.from_kwargs(kwargs))


def _supervise_if_due(task: ChunkTask) -> None:
    try:
        _worker.after_chunk(task)
    except QmigError as error:
        log.warning("migration %s could not be supervised: %s; retrying", task.migration_task.migration, error)
