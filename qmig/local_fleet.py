"""A fleet of this machine's own: Redis on loopback and workers, started for one migration and stopped with it."""

import os
import sys

from qmig.embedded.processes import ChildProcess
from qmig.embedded.redis import EmbeddedRedis
from qmig.fleet import BROKER_VARIABLE, Fleet
from qmig.sealing import SECRET_VARIABLE, new_secret


class LocalFleet(Fleet):
    """Starts at `check`, when nothing can be refused any more; a part that dies in mid-run is started again."""

    def __init__(self, workers: int) -> None:
        self._concurrency = workers
        self._redis_server = EmbeddedRedis()
        self._worker: ChildProcess | None = None
        # The credentials are sealed for this run alone, unless there is a secret already.
        os.environ.setdefault(SECRET_VARIABLE, new_secret())

    def check(self) -> None:
        self._redis_server.start()
        super().__init__(self._redis_server.url)
        super().check()
        self._start_worker()

    def tend(self) -> None:
        self._redis_server.start()
        if self._worker is not None and not self._worker.running:
            self._start_worker()

    def close(self) -> None:
        if self._worker is not None:
            self._worker.stop()
        self._redis_server.stop()

    def _start_worker(self) -> None:
        self._worker = ChildProcess(
            [sys.executable, "-m", "qmig", "worker", "--concurrency", str(self._concurrency)],
            name="worker",
            env={BROKER_VARIABLE: self.broker_url},
        )
