"""Retry the rejects of a migration."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

from qmig.coordinator.new_plan import overtaken
from qmig.errors import ContentsRefusedError, Interrupted
from qmig.ledger.ledger import Ledger
from qmig.ledger.records import ChunkRecord, MigrationRecord
from qmig.ledger.rejects import RejectRecord, forget_rejects, rejects_of, save_rejects
from qmig.qdrant.writer import Writer
from qmig.rpc.connection import RETRY_FOR, retrying
from qmig.sources.base import Source

#: Rejects that are retried before the results are written to the ledger.
REJECTS_PER_WRITE = 100


def retry_rejects(
    ledger: Ledger, record: MigrationRecord, source: Source, writer: Writer, interrupted: Callable[[], bool]
) -> tuple[int, int]:
    """Copy every reject again. Return how many were retried, and how many are left.

    A point that was copied, or that was deleted from the source, is no longer a reject. The others are kept, with the
    new reason. No worker may hold a chunk of the migration meanwhile; TerminalError where another command begins it.
    """
    chunks = ledger.chunks(record.migration, range(record.chunks))
    rejects = [one for one in rejects_of(ledger, record.migration) if one.read <= chunks[one.chunk].read]
    try:
        for first in range(0, len(rejects), REJECTS_PER_WRITE):
            if interrupted():
                raise Interrupted("interrupted while rejects were retried; the same command retries the others")
            if not ledger.is_current(record):
                raise overtaken(ledger, record.migration)
            page = rejects[first : first + REJECTS_PER_WRITE]
            reasons = {one: _copy(one, chunks[one.chunk], source, writer) for one in page}
            failed = [replace(one, reason=reason) for one, reason in reasons.items() if reason is not None]
            save_rejects(ledger, failed)
            forget_rejects(ledger, [one for one, reason in reasons.items() if reason is None])
    finally:
        left = _count_again(ledger, record, chunks)
    return len(rejects), left


def _copy(reject: RejectRecord, chunk: ChunkRecord, source: Source, writer: Writer) -> str | None:
    """Copy one point again; the reason where it still cannot be copied."""
    attempts = retrying(RETRY_FOR)
    batch = attempts(lambda: source.start_read(reject.partition, reject.key, chunk.end, 1).result())
    for invalid in batch.invalid_rows:
        if invalid.key == reject.key:
            return invalid.reason
    points = [point for point in batch.points if source.key_of(point) == reject.key]

    def write() -> str | None:
        routed = writer.route(points, reject.partition)
        for upsert in writer.send(routed):
            writer.check(upsert)
        return next((reason for _, reason in routed.strays), None)

    try:
        return attempts(write)
    except ContentsRefusedError as error:
        return str(error)


def _count_again(ledger: Ledger, record: MigrationRecord, chunks: Sequence[ChunkRecord]) -> int:
    """Correct the counts of the chunks from the rejects in the ledger; return how many are left."""
    left = Counter(one.chunk for one in rejects_of(ledger, record.migration) if one.read <= chunks[one.chunk].read)
    for chunk in chunks:
        if chunk.rejected != left[chunk.index]:
            ledger.change(chunk, rejected=left[chunk.index], acknowledged=chunk.read - left[chunk.index])
    return left.total()
