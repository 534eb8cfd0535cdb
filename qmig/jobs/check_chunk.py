"""The loop that checks one chunk: the next batch is being read while the other end is asked about the last one.

What seems wrong is looked at again a moment later, at both ends: between two reads of a point that is being written
to lies the time in which it was written. Until then the offset stays before it.
"""

import time
from collections.abc import Sequence
from typing import Generic, TypeVar

from qmig.broker.rate_limit import RateLimiter
from qmig.jobs.chunk import ChunkWork
from qmig.jobs.session import Session
from qmig.ledger.findings import REJECTED, Checks, Findings
from qmig.ledger.lease import Lease
from qmig.ledger.records import MigrationRecord
from qmig.qdrant.batch import Batch

Question = TypeVar("Question")

# Seconds until a point is looked at again, and how many points wait for that at most, and bytes of them.
MOMENT = 0.5
MOST_DOUBTS = 1_000
MOST_DOUBTS_BYTES = 8 * 1024 * 1024


class ChunkCheck(ChunkWork, Generic[Question]):
    """Checks a chunk of a verification, batch by batch."""

    def __init__(self, lease: Lease, session: Session, throttle: RateLimiter, record: MigrationRecord) -> None:
        super().__init__(lease, session, throttle)
        self._checks = Checks.from_dict(record.checks)
        self._of = record.verifies
        chunk = lease.chunk
        self._partition = chunk.partition
        self._read = chunk.read
        self._bytes = chunk.bytes
        self._key: str | None = chunk.start if chunk.offset is None else chunk.offset
        self._findings = Findings.from_dict(chunk.findings)
        self._doubts: list[bytes] = []
        self._doubts_since = 0.0

    # What differs between the two kinds of check

    def _ask(self, batch: Batch) -> Question:
        """Begin to ask the other end about the batch's points."""
        raise NotImplementedError

    def _judge(self, points: Sequence[bytes], question: Question) -> list[bytes]:
        """The points with which something seems to be wrong."""
        raise NotImplementedError

    def _look_again_at(self, points: Sequence[bytes]) -> None:
        """Note what is wrong with these points now."""
        raise NotImplementedError

    def _conclude(self) -> None:
        """Note what only the chunk's end can tell."""

    # The loop

    def _work(self) -> None:
        asked: tuple[Batch, Question] | None = None
        for batch in self._batches():
            self._throttle.wait(len(batch.points), lambda: self._lease.max_rate, self._lease.sleep)
            question = self._ask(batch)
            if asked is not None:
                self._settle(*asked)
            asked = (batch, question)
            self._lease.raise_if_stopping()
        if asked is not None:
            self._settle(*asked)
        if self._doubts:
            self._look_again()
        self._conclude()
        self._advance()

    def _settle(self, batch: Batch, question: Question) -> None:
        """Judge a batch, and move the offset past it unless a point is to be looked at again."""
        wrong = self._judge(batch.points, question)
        if wrong and not self._doubts:
            self._doubts_since = time.monotonic()
        self._doubts += wrong
        for row in batch.invalid_rows:
            self._findings.note(REJECTED, row.point)
        self._key = batch.next_key
        self._read += len(batch.points) + len(batch.invalid_rows)
        self._bytes += sum(map(len, batch.points))
        if self._doubts and self._is_time_to_look_again():
            self._look_again()
        if not self._doubts:
            self._advance()

    def _is_time_to_look_again(self) -> bool:
        many = len(self._doubts) >= MOST_DOUBTS or sum(map(len, self._doubts)) >= MOST_DOUBTS_BYTES
        return many or time.monotonic() - self._doubts_since >= MOMENT

    def _look_again(self) -> None:
        self._lease.sleep(MOMENT - (time.monotonic() - self._doubts_since))
        for portion in self._session.size.split(self._doubts):
            self._look_again_at(portion)
        self._doubts.clear()

    def _advance(self) -> None:
        """Move the offset past what was checked."""
        self._move(
            self._key,
            read=self._read,
            acknowledged=self._read,
            bytes=self._bytes,
            findings=self._findings.to_dict(),
        )
