"""The input and output of the job on one chunk: read ahead, write, retry, send heartbeats, move the offset."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from qmig.broker.rate_limit import RateLimiter
from qmig.errors import ContentsRefusedError, MessageTooLargeError, QmigError
from qmig.formatting import pluralize
from qmig.jobs.in_flight import Read, Write
from qmig.jobs.patience import Patience
from qmig.jobs.session import Session
from qmig.ledger.lease import HEARTBEAT_SECONDS, Lease
from qmig.ledger.records import ChunkRecord, MigrationRecord, State
from qmig.qdrant.batch import Batch
from qmig.qdrant.ids import batch_ids
from qmig.qdrant.writer import Upsert
from qmig.sources.base import Pending

#: Characters of a text in the chunk's field `waiting`.
MAX_WAITING = 200

Answer = TypeVar("Answer")


class ChunkIO:
    """Reads, writes and records for the job on one claimed chunk.

    Every call that takes time sends heartbeats while it waits. Transient errors are retried, and the ledger shows
    the reason (see `qmig.jobs.patience`). Any call may raise MigrationStoppedError when it is time to stop,
    ChunkLostError when another worker has the chunk, and TransientError when the ledger is away for `--retry-for`.
    """

    def __init__(self, lease: Lease, session: Session, rate_limiter: RateLimiter, record: MigrationRecord) -> None:
        """`record` is the migration as it was read when the chunk was claimed."""
        self.session = session
        #: The batch that is being written.
        self.writing: Write | None = None
        #: Points and invalid rows of the chunk that the source has returned, up to the last batch that was read.
        self.returned = lease.chunk.read
        self._lease = lease
        self._patience = Patience(lease, session, record)
        self._rate_limiter = rate_limiter
        #: The progress at the chunk's end, which `finish` writes together with the state.
        self._at_end: dict[str, Any] | None = None

    @property
    def chunk(self) -> ChunkRecord:
        """The chunk with all progress up to now."""
        current = self._lease.current
        return current if self._at_end is None else replace(current, **self._at_end)

    @property
    def is_at_end(self) -> bool:
        """Whether the offset has moved past the chunk's last batch."""
        return self._at_end is not None

    # Reading

    def batches(
        self, start_read: Callable[[str | None, int], Pending[Batch]], adapt_size: bool = True
    ) -> Iterator[Batch]:
        """Read the chunk from its offset to its end. Start the next read before a batch is yielded.

        `start_read(key, limit)` starts to read at most `limit` points from `key` on. `adapt_size` lets the limit
        follow the size of the points.
        """

        def start_at(key: str | None) -> Read[Batch]:
            return self.start(lambda: start_read(key, self._limit))

        chunk = self.chunk
        reading: Read[Batch] | None = start_at(chunk.start if chunk.offset is None else chunk.offset)
        while reading is not None:
            batch = self.result(reading)
            self.returned += len(batch.points) + len(batch.invalid_rows)
            if adapt_size:
                self.session.batch_size.learn(batch)
            reading = None if batch.next_key is None else start_at(batch.next_key)
            yield batch

    @property
    def _limit(self) -> int:
        """The number of points in the next batch.

        A rate limit cuts a batch to the points of one second, so that no batch waits longer than a second.
        """
        limit = self.session.batch_size.limit
        return min(limit, self._lease.max_rate or limit)

    def start(self, start: Callable[[], Pending[Answer]]) -> Read[Answer]:
        """Start a read. It may have to ask its server for settings first, so it runs in a thread."""
        return Read(start, self.retrying(partial(self._lease.run_blocking, start)))

    def result(self, read: Read[Answer]) -> Answer:
        """Wait for a read, and start it again after a transient error."""

        def attempt() -> Answer:
            pending, read.pending = read.pending, None
            if pending is None:
                pending = self._lease.run_blocking(read.start)
            while not pending.wait(HEARTBEAT_SECONDS):
                self._lease.heartbeat()
                self._lease.raise_if_stopping()
            return pending.result()

        return self.retrying(attempt)

    def read(self, start: Callable[[], Pending[Answer]]) -> Answer:
        """Start a read and wait for it."""
        return self.result(self.start(start))

    # Writing

    def writes(self, batches: Iterable[Batch]) -> Iterator[Write]:
        """Write the batches one after another, and yield each write while it is under way.

        The next batch is read while a batch is being written. It is sent when the caller asks for the next write:
        the caller waits for `refused_points` before that.
        """
        for batch in batches:
            if self.writing is not None:
                yield self.writing
                self.writing = None
                self._lease.sleep(self.session.options.batch_delay_ms / 1000)
            self.wait_for_turn(len(batch.points))
            self.writing = self.start_write(batch)
        if self.writing is not None:
            yield self.writing
            self.writing = None

    def start_write(self, batch: Batch) -> Write:
        """Start to write a batch."""
        writer = self.session.writer
        routed = writer.route(batch.points, self._lease.chunk.partition)
        if new := writer.new_keys(routed):
            creating = f"the target creates {pluralize(len(new), 'shard key')}: {', '.join(new)}"
            self._lease.advance(waiting=creating[:MAX_WAITING])
            self.change(partial(writer.create_shard_keys, routed))
            self._lease.advance(waiting=None)
        self.retrying(self._lease.confirm)
        read = len(batch.points) + len(batch.invalid_rows)
        return Write(read, batch.next_key, writer.send(routed), batch.invalid_rows, routed.strays, batch_ids(batch))

    def refused_points(self, write: Write) -> Iterator[tuple[bytes, str]]:
        """Wait until a write is durably in the target. Yield each point that the target refuses, with the reason."""
        for upsert in write.upserts:
            try:
                self._wait_for(upsert)
            except ContentsRefusedError as refused:
                for point, reason in self._isolate(upsert, refused):
                    yield point, str(reason)

    def has_arrived(self, write: Write) -> bool:
        """Wait for a write without sending anything again. Return whether all its points are in the target."""
        try:
            for upsert in write.upserts:
                self.session.writer.check(upsert)
        except QmigError:
            return False
        return True

    def _wait_for(self, upsert: Upsert) -> None:
        """Wait until the points are in the target, and send them again after a transient error."""
        sent: Upsert | None = upsert

        def attempt() -> None:
            nonlocal sent
            waiting_for, sent = sent, None
            if waiting_for is None:
                self._lease.confirm()
                waiting_for = self.session.writer.send_again(upsert)
            while not waiting_for.call.wait(HEARTBEAT_SECONDS):
                self._lease.heartbeat()
            self.session.writer.check(waiting_for)

        self.retrying(attempt)

    def _isolate(self, upsert: Upsert, refused: ContentsRefusedError) -> Iterator[tuple[bytes, ContentsRefusedError]]:
        """Write a refused upsert in parts. Yield the points at fault, with the target's reasons.

        Without a point at fault the upsert was too large: cap the size of the next ones to what was accepted.
        """
        accepted: list[Upsert] = []

        def prepare() -> None:
            self._lease.heartbeat()
            self._lease.raise_if_stopping()
            self.retrying(self._lease.confirm)

        def wait_for(part: Upsert) -> None:
            self._wait_for(part)
            accepted.append(part)

        is_too_large = True
        for found in self.session.writer.write_halves(upsert, refused, prepare, wait_for):
            is_too_large = False
            yield found
        if is_too_large and isinstance(refused, MessageTooLargeError):
            self.session.batch_size.cap_bytes(max(len(part.request) for part in accepted))
        elif is_too_large:
            self.session.batch_size.cap_points(max(part.points for part in accepted))

    # Waiting

    def wait_for_turn(self, points: int) -> None:
        """Wait until the migration's rate limit allows this number of points."""
        self._rate_limiter.wait(self._lease.chunk.migration, points, lambda: self._lease.max_rate, self._lease.sleep)
        self._lease.raise_if_stopping()

    def sleep(self, seconds: float) -> None:
        """Wait for some seconds."""
        self._lease.sleep(seconds)

    def retrying(self, attempt: Callable[[], Answer]) -> Answer:
        """Return what `attempt` returns. Retry it after transient errors."""
        return self._patience.retrying(attempt)

    def run_blocking(self, call: Callable[[], Answer]) -> Answer:
        """Run a call that blocks in a thread. Retry it after transient errors."""
        return self.retrying(partial(self._lease.run_blocking, call))

    def change(self, call: Callable[[], Answer]) -> Answer:
        """Run a call that changes the target or the ledger, if this worker still owns the chunk. Retry it after
        transient errors."""

        def attempt() -> Answer:
            self._lease.confirm()
            return self._lease.run_blocking(call)

        return self.retrying(attempt)

    # Progress

    def advance(
        self, offset: str | None, *, read: int, acknowledged: int, rejected: int = 0, size: int, **fields: Any
    ) -> None:
        """Move the offset past points that are copied or checked. Add their numbers and their size to the chunk's.

        An offset of None is the chunk's end, which `finish` writes together with the state. Written alone it would be
        the chunk's beginning, and the next owner would count the points twice.
        """
        chunk = self.chunk
        self.session.set_aside = 0
        progress = {
            "offset": offset,
            "read": chunk.read + read,
            "acknowledged": chunk.acknowledged + acknowledged,
            "rejected": chunk.rejected + rejected,
            "bytes": chunk.bytes + size,
            "lost_owners": 0,
            "waiting": None,
            **fields,
        }
        if offset is None:
            self._at_end = progress
            return
        self._lease.advance(**progress)
        self._lease.heartbeat()

    def finish(self, **fields: Any) -> ChunkRecord:
        """Record the chunk as done, together with the progress at its end. Return its last record."""
        return self.retrying(partial(self._lease.finish, State.DONE, **{**(self._at_end or {}), **fields}))
