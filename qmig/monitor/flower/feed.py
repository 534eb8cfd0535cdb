"""The data of the page and of the metrics: one thread reads the ledger, however many browsers are open."""

import json
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace

from qmig.errors import QmigError, UsageError
from qmig.ledger.ledger import Ledger
from qmig.ledger.records import ChunkRecord, MigrationRecord, State
from qmig.migration import Endpoint
from qmig.monitor.flower.history import History
from qmig.monitor.poller import POLL_INTERVAL, LedgerPoller
from qmig.monitor.status import MigrationStatus
from qmig.qdrant.server import Server

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Snapshot:
    """The migrations as they were last read."""

    #: When they were read, in seconds since 1970.
    time: float
    statuses: Sequence[MigrationStatus]
    #: Why they cannot be read now.
    problem: str | None
    #: A line for each migration whose record cannot be read.
    malformed: Sequence[str]
    #: The same as JSON for the page, with the `history` of each migration.
    json: bytes

    def as_of_now(self) -> list[MigrationStatus]:
        """The migrations now: while they cannot be read, none of them is known to make progress."""
        unread = time.time() - self.time if self.problem else 0.0
        return [
            replace(status, seconds_since_progress=status.seconds_since_progress + unread)
            if status.state == State.RUNNING
            else status
            for status in self.statuses
        ]


class Feed:
    """Polls the ledger in the target from `start` on, and keeps the last snapshot."""

    def __init__(self, endpoint: Endpoint, api_key: str | None, ledger: str, skip_tls_verification: bool) -> None:
        self._endpoint = endpoint
        self._api_key = api_key
        self._ledger_name = ledger
        self._skip_tls_verification = skip_tls_verification
        self._ledger: Ledger | None = None
        self._poller: LedgerPoller | None = None
        self._opening = threading.Lock()
        self._histories: dict[str, History] = {}
        self.last = self._snapshot(0.0, [], "the ledger has not been read yet")

    @property
    def ledger_title(self) -> str:
        """The ledger and the URL of its target, for people."""
        return f"{self._ledger_name} at {self._endpoint.url}"

    def start(self) -> None:
        """Start to poll; the thread ends with the process."""
        threading.Thread(target=self._run, name="qmig-feed", daemon=True).start()

    def chunk(self, migration: str, index: int) -> tuple[ChunkRecord, MigrationRecord]:
        """Read a chunk and its migration from the ledger. Blocks: call it in a thread."""
        chunk, record = self._open().chunk_and_migration(migration, index)
        if record is None or chunk is None:
            raise UsageError(f"there is no chunk {index} of migration {migration} in the ledger {self.ledger_title}")
        return chunk, record

    def control(self, migration: str, command: Callable[[Ledger, MigrationRecord], object]) -> None:
        """Apply one of `qmig.ledger.control`, or `cancel`, to a migration. Blocks: call it in a thread."""
        ledger = self._open()
        record = ledger.migration(migration)
        if record is None:
            raise UsageError(f"there is no migration {migration} in the ledger {self.ledger_title}")
        command(ledger, record)

    def _run(self) -> None:
        while True:
            began = time.monotonic()
            self.last = self._poll()
            time.sleep(max(0.0, POLL_INTERVAL - (time.monotonic() - began)))

    def _poll(self) -> Snapshot:
        try:
            if self._poller is None:
                self._poller = LedgerPoller(self._open())
            statuses = self._poller.poll()
        except QmigError as error:
            if self.last.problem is None:
                log.warning("the migrations cannot be read: %s; retrying", error)
            return self._snapshot(self.last.time, self.last.statuses, str(error), self.last.malformed)
        now = time.time()
        before = self._histories
        self._histories = {status.id: before.get(status.id) or History() for status in statuses}
        for status in statuses:
            self._histories[status.id].add(now, status)
        return self._snapshot(now, statuses, None, list(self._poller.malformed.values()))

    def _snapshot(
        self, read: float, statuses: Sequence[MigrationStatus], problem: str | None, malformed: Sequence[str] = ()
    ) -> Snapshot:
        migrations = [{**asdict(status), "history": self._histories[status.id].samples} for status in statuses]
        data = {"time": read, "problem": problem, "malformed": malformed, "migrations": migrations}
        return Snapshot(read, statuses, problem, malformed, json.dumps(data, ensure_ascii=False).encode())

    def _open(self) -> Ledger:
        """The ledger. A failure is raised at once; the next poll tries again."""
        with self._opening:
            if self._ledger is None:
                server = Server(self._endpoint, "target", self._api_key, self._skip_tls_verification, retry_for=0.0)
                self._ledger = Ledger(server, self._ledger_name)
            return self._ledger
