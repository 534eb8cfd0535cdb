"""Copy one chunk: read ahead, write behind, move the offset."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise

from qmig.errors import MigrationStoppedError, TerminalError
from qmig.jobs.chunk_io import ChunkIO
from qmig.jobs.in_flight import Write
from qmig.ledger.records import ChunkRecord
from qmig.ledger.rejects import RejectRecord, forget_rejects_ahead, save_rejects
from qmig.migration import OnError
from qmig.qdrant.batch import Batch, InvalidRow
from qmig.qdrant.ids import digest
from qmig.qdrant.keys import PointKey
from qmig.qdrant.passthrough import point_id


def copy_chunk(io: ChunkIO) -> ChunkRecord:
    """Copy the chunk from its offset to its end. Return its last record.

    The next batch is read while a batch is being written. The offset moves past a batch when the target has answered
    `Completed`, and the points that could not be copied are in the ledger.
    """
    if io.chunk.claims > 1:
        # An owner may record rejects and die before the offset moves past them. Their points are copied again.
        io.change(partial(forget_rejects_ahead, io.session.ledger, io.chunk))
    try:
        for write in io.writes(_batches(io)):
            rejects = list(_rejects(io, write))
            if rejects:
                io.change(partial(save_rejects, io.session.ledger, rejects))
            _advance(io, write, len(rejects))
    except MigrationStoppedError:
        _on_stop(io)
        if not io.is_at_end:
            raise
    _check_counts(io)
    return io.finish()


def _batches(io: ChunkIO) -> Iterator[Batch]:
    """Read the chunk in batches that fit into one write each."""
    chunk, source = io.chunk, io.session.source
    for batch in io.batches(lambda key, limit: source.start_read(chunk.partition, key, chunk.end, limit)):
        yield from split_batch(batch, list(io.session.batch_size.split(batch.points)), source.key_of)


def split_batch(batch: Batch, parts: Sequence[list[bytes]], key_of: Callable[[bytes], str]) -> Iterator[Batch]:
    """Make a batch of each part of a batch's points, with the invalid rows among them.

    The offset may end up between two parts. An invalid row before it must be recorded by then: it is not read again.
    """
    first, rows = 0, list(batch.invalid_rows)
    for part, following in pairwise(parts):
        end = first + len(part)
        yield Batch(part, key_of(following[0]), _among(rows, first, end))
        first = end
    yield Batch(parts[-1], batch.next_key, _among(rows, first, first + len(parts[-1])))


def _among(rows: list[InvalidRow], first: int, end: int) -> tuple[InvalidRow, ...]:
    """Take the next rows up to the point `end` of their batch, with positions in the part that begins at `first`."""
    taken = []
    while rows and rows[0].position <= end:
        row = rows.pop(0)
        taken.append(replace(row, position=row.position - first))
    return tuple(taken)


def _rejects(io: ChunkIO, write: Write) -> Iterator[RejectRecord]:
    """Wait until a write is in the target. Yield the rows and points of the batch that cannot be copied.

    TerminalError at the first of them if the migration is to fail on errors.
    """
    for row in _invalid_rows(io, write):
        if io.session.options.on_error == OnError.FAIL:
            raise TerminalError(
                f"point {row.point} cannot be copied: {row.reason}; --on-error skip copies the others"
            )
        chunk = io.chunk
        read = chunk.read + write.read
        place = (chunk.migration, chunk.index, chunk.partition)
        yield RejectRecord(*place, row.key, row.point, row.reason, read, chunk.planner)


def _invalid_rows(io: ChunkIO, write: Write) -> Iterator[InvalidRow]:
    yield from write.invalid_rows
    for point, reason in write.unroutable:
        yield _invalid_row(io, point, reason)
    for point, reason in io.refused_points(write):
        yield _invalid_row(io, point, reason)


def _invalid_row(io: ChunkIO, point: bytes, reason: str) -> InvalidRow:
    return InvalidRow(io.session.source.key_of(point), PointKey.of(point_id(point)).text, reason)


def _on_stop(io: ChunkIO) -> None:
    """Move the offset past the batch that is being written if it arrives. Nothing is sent again.

    A batch with points to reject is left to the next owner of the chunk, and so is one that does not arrive.
    """
    write = io.writing
    if write is not None and not write.unsent and io.has_arrived(write):
        _advance(io, write, rejected=0)


def _advance(io: ChunkIO, write: Write, rejected: int) -> None:
    """Move the offset past a batch whose points are in the target, `rejected` ones aside."""
    io.advance(
        write.next_key,
        read=write.read,
        acknowledged=write.sent + write.unsent - rejected,
        rejected=rejected,
        size=write.bytes,
        ids_digest=digest(write.ids, io.chunk.ids_digest),
    )


def _check_counts(io: ChunkIO) -> None:
    """TerminalError if a point that the source returned is neither in the target nor rejected.

    The points are counted where they come from the source: a batch that is lost on its way to the target is missing
    in the chunk's own counts altogether.
    """
    chunk = io.chunk
    if not io.returned == chunk.read == chunk.acknowledged + chunk.rejected:
        raise TerminalError(
            f"chunk {chunk.index + 1}: {io.returned} points read, {chunk.acknowledged} acknowledged, "
            f"{chunk.rejected} rejected; the counts do not match"
        )
