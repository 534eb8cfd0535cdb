"""What the page and the metrics show: one thread reads the ledger, however many browsers look."""

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
from qmig.monitor.poller import LOOK_EVERY, LedgerPoller
from qmig.monitor.status import MigrationStatus
from qmig.qdrant.server import Server

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Snapshot:
    """The migrations as they were last read, at `time` in seconds since 1970, and why they cannot be read now.

    `json` is all of it, with each migration's `history`, for the page.
    """

    time: float
    statuses: Sequence[MigrationStatus]
    problem: str | None
    json: bytes

    def as_of_now(self) -> list[MigrationStatus]:
        """The migrations: while they cannot be read nothing has come, as far as anybody here can know."""
        unread = time.time() - self.time if self.problem else 0.0
        return [
            replace(one, seconds_since_progress=one.seconds_since_progress + unread)
            if one.state == State.RUNNING
            else one
            for one in self.statuses
        ]


class Feed:
    """The ledger at the target, looked at every other second from `start` on."""

    def __init__(self, endpoint: Endpoint, api_key: str | None, ledger: str, skip_tls_verification: bool) -> None:
        self._endpoint = endpoint
        self._api_key = api_key
        self._ledger_name = ledger
        self._skip_tls_verification = skip_tls_verification
        self._ledger: Ledger | None = None
        self._observer: LedgerPoller | None = None
        self._opening = threading.Lock()
        self._histories: dict[str, History] = {}
        self.last = self._look_of(0.0, [], "the ledger has not been read yet")

    @property
    def place(self) -> str:
        """Where the ledger is, for people."""
        return f"{self._ledger_name} at {self._endpoint.url}"

    def start(self) -> None:
        """Look until the process ends."""
        threading.Thread(target=self._run, name="qmig-feed", daemon=True).start()

    def chunk(self, migration: str, index: int) -> tuple[ChunkRecord, MigrationRecord]:
        """A chunk as it stands now, and its migration. Asks the target: not for an event loop."""
        chunk, record = self._open().chunk_and_migration(migration, index)
        if record is None or chunk is None:
            raise UsageError(f"there is no chunk {index} of migration {migration} in the ledger {self.place}")
        return chunk, record

    def steer(self, migration: str, steer: Callable[[Ledger, MigrationRecord], None]) -> None:
        """Do something to a migration as it stands now. Asks the target: not for an event loop."""
        ledger = self._open()
        record = ledger.migration(migration)
        if record is None:
            raise UsageError(f"there is no migration {migration} in the ledger {self.place}")
        steer(ledger, record)

    def _run(self) -> None:
        while True:
            began = time.monotonic()
            self.last = self._look()
            time.sleep(max(0.0, LOOK_EVERY - (time.monotonic() - began)))

    def _look(self) -> Snapshot:
        try:
            if self._observer is None:
                self._observer = LedgerPoller(self._open())
            statuses = self._observer.poll()
        except QmigError as error:
            if self.last.problem is None:
                log.warning("the migrations cannot be read: %s; trying again", error)
            return self._look_of(self.last.time, self.last.statuses, str(error))
        now = time.time()
        before = self._histories
        self._histories = {one.id: before.get(one.id) or History() for one in statuses}
        for one in statuses:
            self._histories[one.id].add(now, one)
        return self._look_of(now, statuses, None)

    def _look_of(self, read: float, statuses: Sequence[MigrationStatus], problem: str | None) -> Snapshot:
        migrations = [{**asdict(one), "history": self._histories[one.id].samples} for one in statuses]
        text = json.dumps({"time": read, "problem": problem, "migrations": migrations}, ensure_ascii=False)
        return Snapshot(read, statuses, problem, text.encode())

    def _open(self) -> Ledger:
        """The ledger. What fails is told at once and tried again at the next look, not here."""
        with self._opening:
            if self._ledger is None:
                server = Server(self._endpoint, "target", self._api_key, self._skip_tls_verification, retry_for=0.0)
                self._ledger = Ledger(server, self._ledger_name)
            return self._ledger
