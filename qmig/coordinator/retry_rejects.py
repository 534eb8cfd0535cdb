"""Reading rejected points from the source again and writing them once more."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

from qmig.errors import ContentsRefusedError, Interrupted
from qmig.ledger.ledger import Ledger
from qmig.ledger.records import ChunkRecord, MigrationRecord
from qmig.ledger.rejects import RejectRecord, forget_rejects, rejects_of, save_rejects
from qmig.qdrant.writer import Writer
from qmig.rpc.connection import RETRY_FOR, retrying
from qmig.sources.base import Source

# Rejects that are tried again before the ledger hears of it.
PAGE = 100


def retry_rejects(
    ledger: Ledger, record: MigrationRecord, source: Source, writer: Writer, interrupted: Callable[[], bool]
) -> tuple[int, int]:
    """Read every reject from the source once more and write it; how many these were, and how many are left.

    What arrives is no reject any more, nor is what the source has deleted; the others get the reason of today. No
    worker may have any of the migration's chunks.
    """
    chunks = ledger.chunks(record.migration, range(record.chunks))
    rejects = [one for one in rejects_of(ledger, record.migration) if one.read <= chunks[one.chunk].read]
    try:
        for first in range(0, len(rejects), PAGE):
            if interrupted():
                raise Interrupted("interrupted while rejects were tried again; the same command tries the rest")
            page = rejects[first : first + PAGE]
            reasons = {one: _copy(one, chunks[one.chunk], source, writer) for one in page}
            still = [replace(one, reason=reason) for one, reason in reasons.items() if reason is not None]
            save_rejects(ledger, still)
            forget_rejects(ledger, [one for one, reason in reasons.items() if reason is None])
    finally:
        left = _settle(ledger, record, chunks)
    return len(rejects), left


def _copy(reject: RejectRecord, chunk: ChunkRecord, source: Source, writer: Writer) -> str | None:
    """Copy one point; the reason why it still cannot be."""
    attempts = retrying(RETRY_FOR)
    batch = attempts(lambda: source.start_read(reject.partition, reject.key, chunk.end, 1).result())
    for unfit in batch.invalid_rows:
        if unfit.key == reject.key:
            return unfit.reason
    points = [point for point in batch.points if source.key_of(point) == reject.key]

    def write() -> str | None:
        upserts, strays = writer.start(points, reject.partition)
        for upsert in upserts:
            writer.check(upsert)
        return next((reason for _, reason in strays), None)

    try:
        return attempts(write)
    except ContentsRefusedError as error:
        return str(error)


def _settle(ledger: Ledger, record: MigrationRecord, chunks: Sequence[ChunkRecord]) -> int:
    """Count the rejects that are left, chunk by chunk. From the records, so that a kill in between does no harm."""
    left = Counter(one.chunk for one in rejects_of(ledger, record.migration) if one.read <= chunks[one.chunk].read)
    for chunk in chunks:
        if chunk.rejected != left[chunk.index]:
            ledger.change(chunk, rejected=left[chunk.index], acknowledged=chunk.read - left[chunk.index])
    return left.total()
