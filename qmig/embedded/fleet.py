"""A fleet of this machine's own: Redis on loopback and workers, started for one migration and stopped with it."""

import logging
import os
import sys

from qmig.broker.fleet import Fleet
from qmig.broker.sealing import SECRET_VARIABLE, new_secret
from qmig.broker.url import BROKER_VARIABLE
from qmig.embedded.child_process import ChildProcess
from qmig.embedded.redis import EmbeddedRedis
from qmig.errors import TerminalError

# A worker that was killed is started again; one that cannot run at all is not started for ever.
MAX_RESTARTS = 10

log = logging.getLogger(__name__)


class LocalFleet(Fleet):
    """Starts at `check`, when nothing can be refused any more; a part that dies in mid-run is started again."""

    def __init__(self, workers: int) -> None:
        self._concurrency = workers
        self._redis_server = EmbeddedRedis()
        self._worker: ChildProcess | None = None
        self._restarts = 0
        # The credentials are sealed for this run alone, unless there is a secret already.
        os.environ.setdefault(SECRET_VARIABLE, new_secret())

    def check(self) -> None:
        self._redis_server.start()
        super().__init__(self._redis_server.url)
        super().check()
        self._start_worker()

    def supervise(self) -> None:
        self._redis_server.start()
        if self._worker is not None and not self._worker.running:
            self._restarts += 1
            if self._restarts > MAX_RESTARTS:
                raise TerminalError(
                    f"the local workers ended {self._restarts} times{self._worker.last_lines()}; "
                    "run again with --debug to see their log"
                )
            log.warning("the local workers ended and are started again%s", self._worker.last_lines())
            self._start_worker()

    def close(self) -> None:
        if self._worker is not None:
            self._worker.stop()
        self._redis_server.stop()

    def _start_worker(self) -> None:
        command = [sys.executable, "-m", "qmig", "worker", "--concurrency", str(self._concurrency)]
        if logging.getLogger().isEnabledFor(logging.DEBUG):
            command.append("--trace")
        self._worker = ChildProcess(
            command,
            name="the local workers",
            env={BROKER_VARIABLE: self.broker_url},
            show_log=log.isEnabledFor(logging.DEBUG),
        )
