"""A fleet on this machine: Redis on loopback and workers, started for one command and stopped with it."""

import logging
import os
import sys
from contextlib import ExitStack

from qmig.broker.fleet import Fleet
from qmig.broker.sealing import SECRET_VARIABLE, new_secret
from qmig.broker.url import BROKER_VARIABLE
from qmig.embedded.child_process import ChildProcess
from qmig.embedded.redis import EmbeddedRedis
from qmig.errors import TerminalError

#: Restarts of the workers before the command fails: workers that cannot run at all are not started for ever.
MAX_RESTARTS = 10

log = logging.getLogger(__name__)


class LocalFleet:
    """Redis and workers as child processes. Opened, it is a `Fleet` that restarts those that died."""

    def __init__(self, workers: int) -> None:
        """`workers` is the number of worker processes."""
        self._concurrency = workers
        self._redis = EmbeddedRedis()
        self._worker: ChildProcess | None = None
        self._restarts = 0
        self._stack = ExitStack()

    def __enter__(self) -> Fleet:
        # Without a secret of the user's, the credentials are sealed with one that only this command knows.
        os.environ.setdefault(SECRET_VARIABLE, new_secret())
        with ExitStack() as stack:
            stack.callback(self._redis.stop)
            self._redis.start()
            fleet = stack.enter_context(Fleet(self._redis.url, self._supervise))
            fleet.check()
            stack.callback(self._stop_worker)
            self._worker = self._start_worker()
            self._stack = stack.pop_all()
        return fleet

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _supervise(self) -> None:
        """Restart Redis and the workers where they have died; TerminalError after too many restarts."""
        self._redis.start()
        if self._worker is not None and not self._worker.running:
            self._restarts += 1
            if self._restarts > MAX_RESTARTS:
                raise TerminalError(
                    f"the local workers ended {self._restarts} times{self._worker.last_lines()}; "
                    "run the command again with --debug to see their log"
                )
            log.warning("the local workers ended and are restarted%s", self._worker.last_lines())
            self._worker = self._start_worker()

    def _stop_worker(self) -> None:
        if self._worker is not None:
            self._worker.stop()

    def _start_worker(self) -> ChildProcess:
        command = [sys.executable, "-m", "qmig", "worker", "--concurrency", str(self._concurrency)]
        if logging.getLogger().isEnabledFor(logging.DEBUG):
            command.append("--trace")
        return ChildProcess(
            command,
            name="the local workers",
            env={BROKER_VARIABLE: self._redis.url},
            show_log=log.isEnabledFor(logging.DEBUG),
        )
