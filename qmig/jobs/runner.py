"""What a worker does with a task: open both ends, claim the chunk, copy or verify it."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, partial

from qmig.broker.access import AccessGrant
from qmig.broker.fleet import Fleet
from qmig.broker.rate_limit import RateLimiter
from qmig.broker.task import ChunkTask, MigrationTask, progress_text, result_text
from qmig.errors import LedgerWriteError, MigrationStoppedError, QmigError, TerminalError
from qmig.formatting import shorten
from qmig.jobs.batch_size import BatchSize
from qmig.jobs.chunk import ChunkWork
from qmig.jobs.copy_chunk import ChunkCopy
from qmig.jobs.find_extra import ExtraSearch
from qmig.jobs.session import Session
from qmig.jobs.supervisor import Supervisor
from qmig.jobs.verify_chunk import ChunkVerification
from qmig.ledger.lease import Lease
from qmig.ledger.ledger import Ledger
from qmig.ledger.owner import new_owner, owner_is_dead
from qmig.ledger.records import ChunkRecord, JobKind, MigrationRecord, RangeOf, State
from qmig.migration import Migration
from qmig.qdrant import messages as api
from qmig.qdrant.collection import is_custom
from qmig.qdrant.point_diff import PointComparison
from qmig.qdrant.reader import CollectionReader
from qmig.qdrant.routing import Router
from qmig.qdrant.server import Server
from qmig.qdrant.writer import Writer
from qmig.rpc.connection import RETRY_FOR
from qmig.sources.registry import open_source

# Workers that may die of one chunk until it fails: one that runs out of memory would do so for ever.
MAX_LOST_OWNERS = 5
# Migrations whose connections a worker keeps open.
MAX_OPEN = 4

log = logging.getLogger(__name__)


@dataclass
class _Opened:
    """What a worker has open of one migration: its ledger, and both ends as they were defined there at last."""

    access: AccessGrant
    ledger: Ledger
    in_ledger: bool = False
    definition: str | None = None
    session: Session | None = None

    def close(self) -> None:
        if self.session is not None:
            self.session.source.close()
        self.ledger.server.close()


@dataclass
class Worker:
    """One process that copies chunks, its connections kept from task to task. Made after the fork."""

    open_fleet: Callable[[], Fleet]
    stop_requested: Callable[[], bool] = lambda: False
    _open: dict[tuple[str, str], _Opened] = field(default_factory=dict)

    @cached_property
    def fleet(self) -> Fleet:
        """The fleet that this worker is of."""
        return self.open_fleet()

    def work_on(self, task: ChunkTask, report: Callable[[str], None]) -> str:
        """Copy or verify the task's chunk and say what it came to; `report` gets its progress once a second.

        MigrationStoppedError: to be queued again. Any other error is the chunk's failure, in one line.
        """
        opened = self._opened(task)
        # With no chunk in hand nothing is lost by going on to the next task: this one is queued again.
        seen, record = opened.ledger.look(task.migration, task.chunk, RETRY_FOR)
        if record is None:
            raise TerminalError(
                f"migration {task.migration} is not in the ledger {opened.ledger.name!r} at "
                f"{opened.access.target.url}; nothing was done"
            )
        opened.access.check(record)
        opened.in_ledger = True
        if record.state != State.RUNNING:
            return f"nothing to do: the migration is {record.state}"
        if seen is None:
            raise TerminalError(
                f"chunk {task.chunk + 1} of migration {task.migration} is not in the ledger; nothing was done"
            )
        if seen.finished:
            return f"nothing to do: the chunk is {seen.state}"
        if not _claimable(seen, task):
            return f"nothing to do: {seen.owner.split('/')[0]} is at it"
        try:
            chunk = opened.ledger.claim(seen, new_owner())
            if chunk is None:
                return "nothing to do: another worker was faster"
            return self._work_on(task, opened, record, chunk, report)
        except LedgerWriteError as error:
            self.fleet.registry.report_ledger_failure(record.run, str(error))
            raise

    def _work_on(
        self,
        task: ChunkTask,
        opened: _Opened,
        record: MigrationRecord,
        chunk: ChunkRecord,
        report: Callable[[str], None],
    ) -> str:
        before = chunk.acknowledged
        lease = Lease(
            opened.ledger,
            chunk,
            record.max_rate,
            self.stop_requested,
            lambda now, seconds: report(progress_text(now, before, seconds)),
        )
        try:
            _check_lost_owners(chunk)
            retry_for = Migration.from_json(record.definition).options.retry_for
            session = lease.retrying(retry_for, partial(self._connect, opened, record))
        except MigrationStoppedError:
            lease.release()
            raise
        except QmigError as error:
            lease.fail(error)
            raise
        throttle = RateLimiter(self.fleet.broker_url, task.migration)
        return result_text(_work(record, lease, session, throttle).run())

    def after_chunk(self, task: ChunkTask) -> None:
        """With nothing queued any more the migration may be at its end: nobody should have to wait for it.

        A broker that lost everything is told of the migration again; of one that no ledger has it is told nothing.
        """
        opened = self._open.get((task.migration, task.access))
        if opened is None or not opened.in_ledger:
            return
        if not self.fleet.registry.is_registered(task.migration):
            self.fleet.register(task.of_migration)
        if self.fleet.queued() == 0:
            self.supervise(task.of_migration)

    def supervise(self, task: MigrationTask) -> str:
        """See to the task's migration, and say what there was to do."""
        opened = self._opened(task)
        return Supervisor(opened.ledger, self.fleet, task, opened.access).run_once()

    def _opened(self, task: MigrationTask) -> _Opened:
        key = (task.migration, task.access)
        if key not in self._open:
            access = AccessGrant.from_text(task.access)
            if access.migration != task.migration:
                raise TerminalError(
                    f"a task for migration {shorten(task.migration)} was refused: its access is not for it"
                )
            while len(self._open) >= MAX_OPEN:
                self._open.pop(next(iter(self._open))).close()
            server = Server(
                access.target,
                "target",
                access.credentials.target_api_key,
                access.skip_tls_verification,
            )
            self._open[key] = _Opened(access, Ledger(server, access.ledger))
        return self._open[key]

    def _connect(self, opened: _Opened, record: MigrationRecord) -> Session:
        """Both ends as the ledger defines them now: a resume may have changed the options."""
        if opened.session is None or opened.definition != record.definition:
            migration = Migration.from_json(record.definition)
            if opened.session is not None:
                opened.session.source.close()
            # What a chunk asks of its source is tried again by its work, which says so.
            source = open_source(migration, opened.access.credentials, retry_for=0.0)
            server, collection = opened.ledger.server, migration.target.collection
            server.retry_for = migration.options.retry_for
            request = api.GetCollectionInfoRequest(collection_name=collection)
            info = server.call(server.collections.Get, request, retry_for=0).result
            router = Router(migration.routing, is_custom(info))
            opened.session = Session(
                source,
                CollectionReader(server, collection),
                opened.ledger,
                router,
                Writer(server, collection, router),
                PointComparison(info),
                BatchSize(migration.options),
                migration.options,
            )
            opened.definition = record.definition
        return opened.session


def _work(record: MigrationRecord, lease: Lease, session: Session, throttle: RateLimiter) -> ChunkWork:
    """What is to be done with the chunk."""
    if record.job == JobKind.COPY:
        return ChunkCopy(lease, session, throttle)
    kind = ExtraSearch if lease.chunk.range_of == RangeOf.TARGET else ChunkVerification
    return kind(lease, session, throttle, record)


def _claimable(seen: ChunkRecord, task: ChunkTask) -> bool:
    """Whether nobody is at the chunk: no owner, one known to be dead, or one whose lease was seen to lapse."""
    return not seen.owner or owner_is_dead(seen.owner) or (seen.owner, seen.heartbeat) == task.abandoned


def _check_lost_owners(chunk: ChunkRecord) -> None:
    if chunk.lost_owners >= MAX_LOST_OWNERS:
        raise TerminalError(
            f"{chunk.lost_owners} workers in a row died or fell silent at this chunk without copying a batch, "
            "for want of memory perhaps; see the system's log on their hosts, and try a smaller --batch-bytes "
            "or --batch-size"
        )
