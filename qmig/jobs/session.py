"""Sessions: the connections and the state that a worker keeps open from task to task, for a few migrations."""

from dataclasses import dataclass, field
from functools import cached_property

from qmig.broker.access import AccessGrant
from qmig.broker.task import MigrationTask
from qmig.errors import TerminalError
from qmig.formatting import shorten
from qmig.jobs.batch_size import BatchSize
from qmig.ledger.ledger import Ledger
from qmig.ledger.records import MigrationRecord
from qmig.migration import Migration, Options
from qmig.qdrant import messages as api
from qmig.qdrant.collection import is_custom
from qmig.qdrant.point_diff import PointComparison
from qmig.qdrant.reader import CollectionReader
from qmig.qdrant.routing import Router
from qmig.qdrant.server import Server
from qmig.qdrant.writer import Writer
from qmig.rpc.connection import RETRY_FOR
from qmig.sources.base import Source
from qmig.sources.registry import open_source

#: Migrations that a worker keeps open.
MAX_OPEN = 4


@dataclass
class Session:
    """A worker's open connections and state for one migration.

    The ledger is open at once, everything else when it is first needed.
    """

    #: The endpoints and credentials.
    access: AccessGrant
    #: The ledger, on the target server.
    ledger: Ledger
    #: The migration as the ledger defines it; None until it was found there.
    definition: Migration | None = None
    #: The run that the ledger named when the definition was read.
    run: str = ""
    #: Whether the target was away for as long as a task waits for it.
    is_target_away: bool = False
    #: Chunks in a row that this worker has set aside, because only others got answers.
    set_aside: int = 0

    @property
    def migration(self) -> Migration:
        assert self.definition is not None
        return self.definition

    @property
    def options(self) -> Options:
        return self.migration.options

    @property
    def patience(self) -> float:
        """Seconds for which a task waits for the target before it has a chunk.

        Only a target whose ledger has the migration is waited for longer than a command waits: a task may name any.
        """
        if self.definition is None:
            return RETRY_FOR
        retry_for = self.definition.options.retry_for
        return min(retry_for, RETRY_FOR) if self.is_target_away else retry_for

    @cached_property
    def source(self) -> Source:
        # The job on a chunk retries what it asks its source for, and shows the reason.
        return open_source(self.migration, self.access.credentials, retry_for=0.0)

    @cached_property
    def target(self) -> CollectionReader:
        """The reader of the target collection."""
        return CollectionReader(self.ledger.server, self.migration.target.collection)

    @cached_property
    def target_info(self) -> api.CollectionInfo:
        """The settings of the target collection. TransientError if the target does not answer."""
        server = self.ledger.server
        request = api.GetCollectionInfoRequest(collection_name=self.migration.target.collection)
        info: api.CollectionInfo = server.call(server.collections.Get, request, retry_for=0).result
        return info

    @cached_property
    def router(self) -> Router:
        return Router(self.migration.routing, is_custom(self.target_info))

    @cached_property
    def writer(self) -> Writer:
        return Writer(self.ledger.server, self.migration.target.collection, self.router)

    @cached_property
    def comparison(self) -> PointComparison:
        return PointComparison(self.target_info)

    @cached_property
    def batch_size(self) -> BatchSize:
        """The size of batches, learned from the chunks before."""
        return BatchSize(self.options)

    def connect(self) -> None:
        """Open the source, and ask the target for its settings: later nothing here waits for a server."""
        # The job on a chunk retries, sends heartbeats meanwhile, and sees when it is to stop.
        self.ledger.server.retry_for = 0
        _ = self.source, self.target_info

    def of_run(self, run: str, definition: Migration) -> "Session":
        """Return this session, or a new one on the same connection to the target if the definition has changed."""
        if self.definition == definition:
            self.run = run
            return self
        self.close_source()
        return Session(self.access, self.ledger, definition, run)

    def close_source(self) -> None:
        if "source" in vars(self):
            self.source.close()

    def close(self) -> None:
        self.close_source()
        self.ledger.server.close()


@dataclass
class Sessions:
    """The sessions of one worker, at most MAX_OPEN: the oldest is closed for a new one."""

    _sessions: dict[tuple[str, str], Session] = field(default_factory=dict)

    def open(self, task: MigrationTask) -> Session:
        """Return the session for the task's migration. TerminalError if the task's access is invalid."""
        key = (task.migration, task.access)
        if key not in self._sessions:
            access = AccessGrant.from_text(task.access)
            if access.migration != task.migration:
                raise TerminalError(
                    f"a task for migration {shorten(task.migration)} was refused: its access is not for it"
                )
            while len(self._sessions) >= MAX_OPEN:
                self._sessions.pop(next(iter(self._sessions))).close()
            server = Server(access.target, "target", access.credentials.target_api_key, access.skip_tls_verification)
            self._sessions[key] = Session(access, Ledger(server, access.ledger))
        return self._sessions[key]

    def update(self, task: MigrationTask, record: MigrationRecord) -> Session:
        """Return the task's session with the definition in the ledger, whose options a resume may have changed.

        TerminalError if the task's access is for other endpoints.
        """
        session = self.open(task)
        session.access.check(record)
        self._sessions[task.migration, task.access] = session = session.of_run(record.run, record.definition)
        return session

    def forget_definition(self, task: MigrationTask) -> None:
        """Note that the task's migration is not in its ledger any more."""
        self.open(task).definition = None

    def is_in_ledger(self, task: MigrationTask, run: str) -> bool:
        """Whether the task's migration was found in its ledger, in this run."""
        session = self._sessions.get((task.migration, task.access))
        return session is not None and session.definition is not None and session.run == run
