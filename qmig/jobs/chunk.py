"""What copying and verifying a chunk have in common: waiting with the lease kept, trying again, and its end."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, TypeVar

from qmig.broker.rate_limit import RateLimiter
from qmig.errors import ContentsRefusedError, MessageTooLargeError, MigrationStoppedError, QmigError, TerminalError
from qmig.jobs.session import Session
from qmig.ledger.lease import HEARTBEAT_SECONDS, Lease
from qmig.ledger.records import ChunkRecord, State
from qmig.qdrant.batch import Batch
from qmig.qdrant.writer import Upsert
from qmig.sources.base import Pending

Answer = TypeVar("Answer")


class ChunkWork:
    """Work on the chunk that `lease` holds."""

    def __init__(self, lease: Lease, session: Session, throttle: RateLimiter) -> None:
        self._lease = lease
        self._session = session
        self._throttle = throttle
        self._last: dict[str, Any] = {}

    def run(self) -> ChunkRecord:
        """Work to the chunk's end and return its last record.

        MigrationStoppedError: stopped in between, the chunk given back with its offset. TerminalError: the
        chunk has failed and says so in the ledger. ChunkLostError: another worker has it.
        """
        try:
            self._work()
            return self._finish()
        except MigrationStoppedError:
            if self._leave():
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

    def _work(self) -> None:
        """Do all that is to be done with the chunk."""
        raise NotImplementedError

    def _leave(self) -> bool:
        """Stopped in between, note what is done; whether that is all."""
        return False

    def _finish(self) -> ChunkRecord:
        return self._retrying(partial(self._lease.finish, State.DONE, **self._last))

    # Reading

    def _batches(self) -> Iterator[Batch]:
        """The chunk's batches from its offset on; the next one is on its way already."""
        chunk = self._lease.chunk
        key = chunk.start if chunk.offset is None else chunk.offset
        reading: Pending[Batch] | None = self._start(partial(self._start_read, key))
        while reading is not None:
            batch = self._answer(partial(self._start_read, key), reading)
            self._learn(batch)
            key = batch.next_key
            reading = None if key is None else self._start(partial(self._start_read, key))
            yield batch

    def _start_read(self, key: str | None) -> Pending[Batch]:
        """Begin to read the batch that begins at `key`."""
        chunk = self._lease.chunk
        return self._session.source.start_read(chunk.partition, key, chunk.end, self._limit)

    def _learn(self, batch: Batch) -> None:
        self._session.size.learn(batch)

    @property
    def _limit(self) -> int:
        """Points in the next batch. With a limit on the rate it is what the fleet may send in a second: it waits no
        longer than need be."""
        limit = self._session.size.limit
        return min(limit, self._lease.max_rate or limit)

    def _start(self, start: Callable[[], Pending[Answer]]) -> Pending[Answer]:
        """Begin a read, which may have to ask its server for settings first."""
        return self._retrying(partial(self._lease.run_blocking, start))

    def _answer(self, start: Callable[[], Pending[Answer]], under_way: Pending[Answer] | None = None) -> Answer:
        """The answer to what is under way, or to what is started now, and again after transient errors."""
        reads = [] if under_way is None else [under_way]

        def attempt() -> Answer:
            read = reads.pop() if reads else self._lease.run_blocking(start)
            while not read.wait(HEARTBEAT_SECONDS):
                self._lease.heartbeat()
                self._lease.raise_if_stopping()
            return read.result()

        return self._retrying(attempt)

    # Writing

    def _wait_for(self, upsert: Upsert) -> None:
        """Wait until the points are in the target, written again as long as its errors are transient."""
        under_way = [upsert]

        def attempt() -> None:
            sent = under_way.pop() if under_way else self._session.writer.send_again(upsert)
            while not sent.call.wait(HEARTBEAT_SECONDS):
                self._lease.heartbeat()
            self._session.writer.check(sent)

        self._retrying(attempt)

    def _isolated(
        self, upsert: Upsert, refused: ContentsRefusedError
    ) -> Iterator[tuple[bytes, ContentsRefusedError]]:
        """The points at fault in a refused upsert, with the target's reasons; the others are in the target then."""
        taken: list[Upsert] = []

        def wait_for(partition: Upsert) -> None:
            self._lease.heartbeat()
            self._lease.raise_if_stopping()
            self._wait_for(partition)
            taken.append(partition)

        at_fault = False
        for found in self._session.writer.write_halves(upsert, refused, wait_for):
            at_fault = True
            yield found
        if not at_fault and isinstance(refused, MessageTooLargeError):
            self._session.size.cap_bytes(max(len(partition.request) for partition in taken))
        elif not at_fault:
            self._session.size.cap_points(max(partition.points for partition in taken))

    # Progress

    def _move(self, offset: str | None, **progress: Any) -> None:
        """Move the offset past what is done.

        The chunk's end is written by `finish` alone, in one step with its state: an offset of None is the chunk's
        beginning, and what had been counted up to it would be counted once more.
        """
        moved = {"offset": offset, "lost_owners": 0, "waiting": None, **progress}
        if offset is None:
            self._last = moved
            return
        self._lease.advance(**moved)
        self._lease.heartbeat()

    # Trying again

    def _retrying(self, attempt: Callable[[], Answer]) -> Answer:
        return self._lease.retrying(self._session.options.retry_for, attempt)
