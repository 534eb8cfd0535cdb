"""Recheck the points that seem wrong in a verification, before they count as wrong.

A point that is written to between the two reads seems to differ. So a suspect is read again at both ends a moment
later, and the offset stays before it until then.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import deepcopy
from typing import TypeVar

from qmig.jobs.chunk_io import ChunkIO
from qmig.ledger.findings import FindingKind, Findings
from qmig.qdrant.batch import Batch

#: Seconds from the first check of a point to its second.
RECHECK_DELAY = 0.5
#: Suspects that wait for their second check.
MAX_SUSPECTS = 1_000
#: The size of the suspects that wait for their second check.
MAX_SUSPECT_BYTES = 8 * 1024 * 1024

Item = TypeVar("Item")


def one_ahead(items: Iterable[Item]) -> Iterator[Item]:
    """Yield each item after the next one has been made: what the next one starts is then under way."""
    made: deque[Item] = deque()
    for item in items:
        made.append(item)
        if len(made) > 1:
            yield made.popleft()
    yield from made


class Rechecks:
    """Moves the offset of a verification's chunk past points that were checked, and past suspects once rechecked.

    `recheck` checks points a second time, and adds what is wrong with them to `findings`.
    """

    def __init__(self, io: ChunkIO, findings: Findings, recheck: Callable[[Sequence[bytes]], None]) -> None:
        self._io = io
        self._findings = findings
        self._recheck = recheck
        self._suspects: list[bytes] = []
        #: When the first suspect was found.
        self._since = 0.0
        #: The key after the last batch that was checked.
        self._key: str | None = None
        #: Points that were checked since the offset last moved, and their size.
        self._read = 0
        self._bytes = 0

    def add(self, batch: Batch, suspects: Sequence[bytes]) -> None:
        """Take over a batch that was checked, and recheck the suspects if it is time to."""
        if suspects and not self._suspects:
            self._since = time.monotonic()
        self._suspects += suspects
        for row in batch.invalid_rows:
            self._findings.note(FindingKind.REJECTED, row.point)
        self._key = batch.next_key
        self._read += len(batch.points) + len(batch.invalid_rows)
        self._bytes += sum(map(len, batch.points))
        if self._suspects and self._is_due():
            self._recheck_all()
        if not self._suspects:
            self._advance()

    def end(self) -> None:
        """Recheck the last suspects at the chunk's end."""
        if self._suspects:
            self._recheck_all()
        self._advance()

    def _is_due(self) -> bool:
        are_many = len(self._suspects) >= MAX_SUSPECTS or sum(map(len, self._suspects)) >= MAX_SUSPECT_BYTES
        return are_many or time.monotonic() - self._since >= RECHECK_DELAY

    def _recheck_all(self) -> None:
        self._io.sleep(RECHECK_DELAY - (time.monotonic() - self._since))
        for part in self._io.session.batch_size.split(self._suspects):
            self._recheck(part)
        self._suspects.clear()

    def _advance(self) -> None:
        self._io.advance(
            self._key,
            read=self._read,
            acknowledged=self._read,
            size=self._bytes,
            findings=deepcopy(self._findings),
        )
        self._read = self._bytes = 0
