"""The loop that copies one chunk: read ahead, write behind, move the offset."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

from qmig.broker.rate_limit import RateLimiter
from qmig.errors import ContentsRefusedError, QmigError, TerminalError
from qmig.jobs.chunk import ChunkWork
from qmig.jobs.session import Session
from qmig.ledger.lease import Lease
from qmig.ledger.records import ChunkRecord
from qmig.ledger.rejects import RejectRecord, forget_rejects_ahead, save_rejects
from qmig.migration import FAIL
from qmig.qdrant.batch import InvalidRow
from qmig.qdrant.keys import PointKey
from qmig.qdrant.passthrough import point_id
from qmig.qdrant.writer import Upsert


@dataclass(frozen=True)
class _Write:
    """Points on their way into the target, and what cannot be there; how many were read so far, and the key after."""

    upserts: list[Upsert]
    unfit: Sequence[InvalidRow]
    read: int
    next_key: str | None


class ChunkCopy(ChunkWork):
    """Copies a chunk."""

    def __init__(self, lease: Lease, session: Session, throttle: RateLimiter) -> None:
        super().__init__(lease, session, throttle)
        chunk = lease.chunk
        self._read = chunk.read
        self._acknowledged = chunk.acknowledged
        self._rejected = chunk.rejected
        self._bytes = chunk.bytes
        self._writing: _Write | None = None

    def _work(self) -> None:
        chunk = self._lease.chunk
        if chunk.claims > 1:
            self._retrying(partial(forget_rejects_ahead, self._session.ledger, chunk))
        for points, unfit, next_key in self._portions():
            if self._writing is not None:
                self._acknowledge(self._writing)
                self._writing = None
                self._lease.sleep(self._session.options.batch_delay_ms / 1000)
            self._throttle.wait(len(points), lambda: self._lease.max_rate, self._lease.sleep)
            self._lease.raise_if_stopping()
            self._read += len(points) + len(unfit)
            upserts, strays = self._session.writer.start(points, chunk.partition)
            rejected = [*unfit, *(self._invalid_row(point, reason) for point, reason in strays)]
            self._writing = _Write(upserts, rejected, self._read, next_key)
        if self._writing is not None:
            self._acknowledge(self._writing)
            self._writing = None

    def _leave(self) -> bool:
        writing = self._writing
        if writing is None or not self._is_in_target(writing):
            return False
        self._advance(writing)
        return writing.next_key is None

    def _finish(self) -> ChunkRecord:
        if self._read != self._acknowledged + self._rejected:
            raise TerminalError(
                f"chunk {self._lease.chunk.index + 1}: {self._read} points read, {self._acknowledged} acknowledged, "
                f"{self._rejected} rejected; the books do not balance"
            )
        return super()._finish()

    def _portions(self) -> Iterator[tuple[list[bytes], Sequence[InvalidRow], str | None]]:
        """What one upsert takes, unfit rows, and the key after both."""
        for batch in self._batches():
            portions = list(self._session.size.split(batch.points))
            for portion, following in pairwise(portions):
                yield portion, (), self._session.source.key_of(following[0])
            yield portions[-1], batch.invalid_rows, batch.next_key

    def _acknowledge(self, write: _Write) -> None:
        """Wait until the points are in the target, and those that cannot be in it are in the ledger."""
        rejects = [self._reject(row, write) for row in write.unfit]
        for upsert in write.upserts:
            try:
                self._wait_for(upsert)
            except ContentsRefusedError as refused:
                for point, reason in self._isolated(upsert, refused):
                    rejects.append(self._reject(self._invalid_row(point, str(reason)), write))
        self._retrying(partial(save_rejects, self._session.ledger, rejects))
        self._advance(write, len(rejects))

    def _invalid_row(self, point: bytes, reason: str) -> InvalidRow:
        return InvalidRow(self._session.source.key_of(point), PointKey.of(point_id(point)).text, reason)

    def _reject(self, row: InvalidRow, write: _Write) -> RejectRecord:
        """The record of a point that cannot be copied; TerminalError where that is to fail the chunk."""
        if self._session.options.on_error == FAIL:
            raise TerminalError(
                f"point {row.point} cannot be copied: {row.reason}; --on-error skip copies the others"
            )
        chunk = self._lease.chunk
        return RejectRecord(chunk.migration, chunk.index, chunk.partition, row.key, row.point, row.reason, write.read)

    def _is_in_target(self, write: _Write) -> bool:
        """On the way out the batch in flight may end, but nothing is sent again."""
        if write.unfit:
            return False
        try:
            for upsert in write.upserts:
                self._session.writer.check(upsert)
        except QmigError:
            # Then the offset stays before these points, and the next worker reads them again.
            return False
        return True

    def _advance(self, write: _Write, rejected: int = 0) -> None:
        """Move the offset past points that are in the target."""
        self._acknowledged += sum(upsert.points for upsert in write.upserts) + len(write.unfit) - rejected
        self._rejected += rejected
        self._bytes += sum(len(upsert.request) for upsert in write.upserts)
        self._move(
            write.next_key,
            read=write.read,
            acknowledged=self._acknowledged,
            rejected=self._rejected,
            bytes=self._bytes,
        )
