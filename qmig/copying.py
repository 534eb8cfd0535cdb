"""The loop that copies one chunk: read ahead, write behind, move the offset."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from qmig.connections import WORKER_RETRY_FOR, retrying
from qmig.errors import MigrationStoppedError, QmigError, TerminalError
from qmig.lease import BEAT_SECONDS, Lease
from qmig.ledger import ChunkRecord, State
from qmig.migration import MAX_BATCH_BYTES, Options
from qmig.sources import Batch, Read, Source
from qmig.throttle import Throttle
from qmig.writing import Upsert, Writer

Answer = TypeVar("Answer")

FIRST_BATCH = 50
# Points in one scroll, however small they are.
LARGEST_BATCH = 10_000

log = logging.getLogger(__name__)


class BatchSize:
    """Points to ask for next: fixed, or such that their bytes come to `batch_bytes`."""

    def __init__(self, options: Options) -> None:
        self.limit = options.batch_size or FIRST_BATCH
        self._fixed = options.batch_size is not None
        self._aim = options.batch_bytes
        # Beyond this a batch is written in several upserts.
        self._most = MAX_BATCH_BYTES if self._fixed else min(2 * self._aim, MAX_BATCH_BYTES)

    def learn(self, batch: Batch) -> None:
        """Follow the size of the points, growing at most fourfold so that a change of size cannot overshoot."""
        if batch.points and not self._fixed:
            fitting = self._aim * len(batch.points) // max(1, sum(map(len, batch.points)))
            self.limit = max(1, min(fitting, 4 * self.limit, LARGEST_BATCH))

    def split(self, points: list[bytes]) -> Iterator[list[bytes]]:
        """The points in portions that one upsert may carry; a point larger than that goes alone."""
        if sum(map(len, points)) <= self._most:
            yield points
            return
        portion: list[bytes] = []
        size = 0
        for point in points:
            if portion and size + len(point) > self._aim:
                yield portion
                portion, size = [], 0
            portion.append(point)
            size += len(point)
        if portion:
            yield portion


@dataclass(frozen=True)
class _Write:
    """Points on their way into the target: how many were read up to here, and the key after them."""

    upserts: list[Upsert]
    read: int
    next_key: str | None


class ChunkCopy:
    """Copies the chunk that `lease` holds."""

    def __init__(
        self, lease: Lease, source: Source, writer: Writer, size: BatchSize, throttle: Throttle, delay: float
    ) -> None:
        """`size` may know the migration's points from chunks before; `delay` is in seconds, after each batch."""
        self._lease = lease
        self._source = source
        self._writer = writer
        self._size = size
        self._throttle = throttle
        self._delay = delay
        chunk = lease.chunk
        self._read = chunk.read
        self._acknowledged = chunk.acknowledged
        self._bytes = chunk.bytes
        self._retries = chunk.retries

    def run(self) -> ChunkRecord:
        """Copy to the chunk's end and return its last record.

        MigrationStoppedError: stopped in between, the chunk given back with its offset. TerminalError: the
        chunk has failed and says so in the ledger. ChunkLostError: another worker has it.
        """
        writing: _Write | None = None
        try:
            for points, next_key in self._portions():
                if writing is not None:
                    self._acknowledge(writing)
                    writing = None
                    self._lease.sleep(self._delay)
                self._throttle.wait(len(points), lambda: self._lease.max_rate, self._lease.sleep)
                self._lease.raise_if_stopping()
                self._read += len(points)
                upserts = self._writer.start(points, self._lease.chunk.part)
                writing = _Write(upserts, self._read, next_key)
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
        if self._read != self._acknowledged:
            raise TerminalError(
                f"chunk {self._lease.chunk.index}: {self._read} points read, {self._acknowledged} acknowledged; "
                "the books do not balance"
            )
        return self._lease.finish(State.DONE)

    def _portions(self) -> Iterator[tuple[list[bytes], str | None]]:
        """What one upsert takes, and the key after it; the next batch is on its way already."""
        chunk = self._lease.chunk
        key = chunk.start if chunk.offset is None else chunk.offset
        reading: Read | None = self._start_read(key)
        while reading is not None:
            batch = self._batch(reading, key)
            self._size.learn(batch)
            key = batch.next_key
            reading = None if key is None else self._start_read(key)
            portions = list(self._size.split(batch.points))
            for portion, following in zip(portions, [*portions[1:], None], strict=True):
                yield portion, key if following is None else self._source.key_of(following[0])

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
        """Wait until the points are in the target, written again as long as its errors are transient."""
        for upsert in write.upserts:
            under_way = [upsert]

            def attempt(upsert: Upsert = upsert, under_way: list[Upsert] = under_way) -> None:
                sent = under_way.pop() if under_way else self._writer.send_again(upsert)
                while not sent.call.answered_within(BEAT_SECONDS):
                    self._lease.keep()
                self._writer.check(sent)

            self._retrying(attempt)
        self._advance(write)

    def _is_in_target(self, write: _Write) -> bool:
        """On the way out the batch in flight may end, but nothing is sent again."""
        try:
            for upsert in write.upserts:
                self._writer.check(upsert)
        except QmigError:
            # Then the offset stays before these points, and the next worker reads them again.
            return False
        return True

    def _advance(self, write: _Write) -> None:
        """Move the offset past points that are in the target. The chunk's end is left to `finish`, in one step
        with its state: an offset of None is the chunk's beginning."""
        self._acknowledged += sum(upsert.points for upsert in write.upserts)
        self._bytes += sum(len(upsert.request) for upsert in write.upserts)
        self._lease.advance(
            offset=write.next_key,
            read=write.read,
            acknowledged=self._acknowledged,
            bytes=self._bytes,
            retries=self._retries,
            waiting=None,
        )
        if write.next_key is not None:
            self._lease.keep()

    def _retrying(self, attempt: Callable[[], Answer]) -> Answer:
        return retrying(WORKER_RETRY_FOR, sleep=self._lease.sleep, before_sleep=self._note_retry)(attempt)

    def _note_retry(self, state: Any) -> None:
        self._retries += 1
        log.warning("chunk %d: %s; trying again", self._lease.chunk.index, state.outcome.exception())
        self._lease.advance(retries=self._retries, waiting=str(state.outcome.exception()))
