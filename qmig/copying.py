"""The loop that copies one chunk: read ahead, write behind, move the offset."""

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, TypeVar

from qmig.batch_size import BatchSize
from qmig.connections import retrying
from qmig.errors import ContentsRefusedError, MessageTooLargeError, MigrationStoppedError, QmigError, TerminalError
from qmig.lease import BEAT_SECONDS, Lease
from qmig.ledger import ChunkRecord, Ledger, State
from qmig.migration import FAIL, Options
from qmig.rejects import RejectRecord, forget_rejects_ahead, save_rejects
from qmig.sources import Batch, Read, Source, Unfit
from qmig.throttle import Throttle
from qmig.wire.keys import PointKey
from qmig.wire.passthrough import point_id
from qmig.writing import Upsert, Writer

Answer = TypeVar("Answer")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Write:
    """Points on their way into the target, and rows that are none; how many were read so far, and the key after."""

    upserts: list[Upsert]
    unfit: Sequence[Unfit]
    read: int
    next_key: str | None


class ChunkCopy:
    """Copies the chunk that `lease` holds."""

    def __init__(
        self,
        ledger: Ledger,
        lease: Lease,
        source: Source,
        writer: Writer,
        size: BatchSize,
        throttle: Throttle,
        options: Options,
    ) -> None:
        """`size` may know the migration's points from chunks before."""
        self._ledger = ledger
        self._lease = lease
        self._source = source
        self._writer = writer
        self._size = size
        self._throttle = throttle
        self._options = options
        chunk = lease.chunk
        self._read = chunk.read
        self._acknowledged = chunk.acknowledged
        self._rejected = chunk.rejected
        self._bytes = chunk.bytes
        self._retries = chunk.retries
        self._retry_reasons = Counter(chunk.retry_reasons)

    def run(self) -> ChunkRecord:
        """Copy to the chunk's end and return its last record.

        MigrationStoppedError: stopped in between, the chunk given back with its offset. TerminalError: the
        chunk has failed and says so in the ledger. ChunkLostError: another worker has it.
        """
        writing: _Write | None = None
        try:
            if self._lease.chunk.claims > 1:
                forget_rejects_ahead(self._ledger, self._lease.chunk)
            for points, unfit, next_key in self._portions():
                if writing is not None:
                    self._acknowledge(writing)
                    writing = None
                    self._lease.sleep(self._options.batch_delay_ms / 1000)
                self._throttle.wait(len(points), lambda: self._lease.max_rate, self._lease.sleep)
                self._lease.raise_if_stopping()
                self._read += len(points) + len(unfit)
                upserts = self._writer.start(points, self._lease.chunk.part)
                writing = _Write(upserts, unfit, self._read, next_key)
            if writing is not None:
                self._acknowledge(writing)
            return self._finish()
        except MigrationStoppedError:
            if writing is not None and self._is_in_target(writing):
                self._advance(writing)
                if writing.next_key is None:
                    return self._finish()
            self._lease.release()
            raise
        except QmigError as error:
            self._lease.fail(error)
            raise
        except Exception as error:
            # A defect fails its chunk and is named there, rather than being tried for ever.
            self._lease.fail(TerminalError(f"unexpected {type(error).__name__}: {error}"))
            raise

    def _finish(self) -> ChunkRecord:
        if self._read != self._acknowledged + self._rejected:
            raise TerminalError(
                f"chunk {self._lease.chunk.index}: {self._read} points read, {self._acknowledged} acknowledged, "
                f"{self._rejected} rejected; the books do not balance"
            )
        return self._lease.finish(State.DONE)

    def _portions(self) -> Iterator[tuple[list[bytes], Sequence[Unfit], str | None]]:
        """What one upsert takes, unfit rows, and the key after both; the next batch is on its way already."""
        chunk = self._lease.chunk
        key = chunk.start if chunk.offset is None else chunk.offset
        reading: Read | None = self._retrying(partial(self._start_read, key))
        while reading is not None:
            batch = self._batch(reading, key)
            self._size.learn(batch)
            key = batch.next_key
            reading = None if key is None else self._retrying(partial(self._start_read, key))
            portions = list(self._size.split(batch.points))
            for portion, following in pairwise(portions):
                yield portion, (), self._source.key_of(following[0])
            yield portions[-1], batch.unfit, key

    def _start_read(self, key: str | None) -> Read:
        chunk = self._lease.chunk
        # With a limit a batch is what the fleet may send in a second: it waits no longer than need be.
        limit = min(self._size.limit, self._lease.max_rate or self._size.limit)
        return self._source.start_read(chunk.part, key, chunk.end, limit)

    def _batch(self, reading: Read, key: str | None) -> Batch:
        """What was read from `key`, read again as long as the source's errors are transient."""
        under_way = [reading]

        def attempt() -> Batch:
            read = under_way.pop() if under_way else self._start_read(key)
            while not read.answered_within(BEAT_SECONDS):
                self._lease.keep()
                self._lease.raise_if_stopping()
            return read.result()

        return self._retrying(attempt)

    def _acknowledge(self, write: _Write) -> None:
        """Wait until the points are in the target, and those that cannot be in it are in the ledger."""
        rejects = [self._reject(row.key, row.point, row.reason, write) for row in write.unfit]
        for upsert in write.upserts:
            try:
                self._wait_for(upsert)
            except ContentsRefusedError as refused:
                rejects += self._isolated(upsert, refused, write)
        save_rejects(self._ledger, rejects)
        self._advance(write, len(rejects))

    def _wait_for(self, upsert: Upsert) -> None:
        """Wait until the points are in the target, written again as long as its errors are transient."""
        under_way = [upsert]

        def attempt() -> None:
            sent = under_way.pop() if under_way else self._writer.send_again(upsert)
            while not sent.call.answered_within(BEAT_SECONDS):
                self._lease.keep()
            self._writer.check(sent)

        self._retrying(attempt)

    def _isolated(self, upsert: Upsert, refused: ContentsRefusedError, write: _Write) -> list[RejectRecord]:
        """The points at fault in a refused upsert; the others are in the target then."""
        taken: list[Upsert] = []

        def wait_for(part: Upsert) -> None:
            self._lease.keep()
            self._lease.raise_if_stopping()
            self._wait_for(part)
            taken.append(part)

        rejects = []
        for point, reason in self._writer.write_halves(upsert, refused, wait_for):
            key = self._source.key_of(point)
            rejects.append(self._reject(key, PointKey.of(point_id(point)).text, str(reason), write))
        if not rejects and isinstance(refused, MessageTooLargeError):
            self._size.keep_to_bytes(max(len(part.request) for part in taken))
        elif not rejects:
            self._size.keep_to_points(max(part.points for part in taken))
        return rejects

    def _reject(self, key: str, point: str, reason: str, write: _Write) -> RejectRecord:
        """The record of a point that cannot be copied; TerminalError where that is to fail the chunk."""
        if self._options.on_error == FAIL:
            raise TerminalError(f"point {point} cannot be copied: {reason}; --on-error skip copies the others")
        chunk = self._lease.chunk
        return RejectRecord(chunk.migration, chunk.index, chunk.part, key, point, reason, write.read)

    def _is_in_target(self, write: _Write) -> bool:
        """On the way out the batch in flight may end, but nothing is sent again."""
        if write.unfit:
            return False
        try:
            for upsert in write.upserts:
                self._writer.check(upsert)
        except QmigError:
            # Then the offset stays before these points, and the next worker reads them again.
            return False
        return True

    def _advance(self, write: _Write, rejected: int = 0) -> None:
        """Move the offset past points that are in the target. The chunk's end is left to `finish`, in one step
        with its state: an offset of None is the chunk's beginning."""
        self._acknowledged += sum(upsert.points for upsert in write.upserts) + len(write.unfit) - rejected
        self._rejected += rejected
        self._bytes += sum(len(upsert.request) for upsert in write.upserts)
        self._lease.advance(
            offset=write.next_key,
            read=write.read,
            acknowledged=self._acknowledged,
            rejected=self._rejected,
            bytes=self._bytes,
            retries=self._retries,
            retry_reasons=dict(self._retry_reasons),
            waiting=None,
        )
        if write.next_key is not None:
            self._lease.keep()

    def _retrying(self, attempt: Callable[[], Answer]) -> Answer:
        return retrying(self._options.retry_for, sleep=self._lease.sleep, before_sleep=self._note_retry)(attempt)

    def _note_retry(self, state: Any) -> None:
        error = state.outcome.exception()
        self._retries += 1
        self._retry_reasons[error.reason] += 1
        log.warning("chunk %d: %s; trying again", self._lease.chunk.index, error)
        self._lease.advance(retries=self._retries, retry_reasons=dict(self._retry_reasons), waiting=str(error))
