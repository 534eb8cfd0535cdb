"""Look up every id of the source in the target, at a migration's end: equal counts alone may hide missing points.

No more ids than those of a few pages are in memory. The comparison can be put down after any page and taken up
again, by another worker too.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cached_property
from typing import TypeVar

from qmig.ledger.reconciliation import ChunkIds, IdComparison
from qmig.ledger.records import ChunkRecord
from qmig.migration import Migration
from qmig.qdrant.batch import IdPage
from qmig.qdrant.cutting import ID_PAGE
from qmig.qdrant.ids import digest, raw_id_of
from qmig.qdrant.reader import CollectionReader
from qmig.qdrant.routing import Router
from qmig.sources.base import Source
from qmig.sources.registry import partition_title

Item = TypeVar("Item")

#: Chunks that are read from the ledger at once.
CHUNKS_PER_READ = 100


class Comparer:
    """Compares the ids of one migration, for some seconds at a time."""

    def __init__(
        self,
        begun: IdComparison | None,
        migration: Migration,
        source: Source,
        target: CollectionReader,
        router: Router,
        read_chunks: Callable[[Sequence[int]], list[ChunkRecord]],
        read_rejects: Callable[[ChunkRecord], set[str]],
    ) -> None:
        """`begun` is how far the comparison has come. `read_chunks` reads chunks by their indexes, `read_rejects` the
        ids of a chunk's rejects."""
        #: How far the comparison has come; at its end its next chunk is the one after the last.
        self.comparison = begun or IdComparison()
        self._migration = migration
        self._source = source
        self._target = target
        self._router = router
        self._read_chunks = read_chunks
        self._read_rejects = read_rejects

    @cached_property
    def _partitions(self) -> Sequence[str | None]:
        """The partitions that the source has now."""
        return self._source.partitions()

    @cached_property
    def _shard_keys(self) -> set[str | None]:
        """The shard keys that the target has now; None stands for the whole collection."""
        return {None, *self._target.partitions()}

    def go_on(self, chunks: int, seconds: float) -> None:
        """Compare on for about `seconds`, at least one page, up to the end of the last of `chunks` chunks."""
        end = time.monotonic() + seconds
        rejects: set[bytes] = set()
        rejects_of = None
        for chunk, page in ahead(self._pages(chunks)):
            if chunk.index != rejects_of:
                rejects = {raw_id_of(text) for text in self._read_rejects(chunk)} if chunk.rejected else set()
                rejects_of = chunk.index
            part = self._with_page(self.comparison.part, page, chunk, rejects)
            self.comparison = replace(self.comparison, part=part)
            if page.next_key is None:
                self.comparison = self._with_chunk(self.comparison, chunk)
            if time.monotonic() >= end:
                return

    def _pages(self, chunks: int) -> Iterator[tuple[ChunkRecord, IdPage]]:
        """Read the ids of the source on from what was compared, each page with its chunk."""
        key = self.comparison.part.key
        for start in range(self.comparison.chunk, chunks, CHUNKS_PER_READ):
            for chunk in self._read_chunks(range(start, min(start + CHUNKS_PER_READ, chunks))):
                if chunk.partition not in self._partitions:
                    yield chunk, IdPage([], None)
                    key = None
                    continue
                others = self._later_partitions(chunk.partition)
                page, seen = None, self.comparison.part.ids if key is not None else 0
                while page is None or page.next_key is not None:
                    # As many as were copied: the rest of a page would be ids of the next chunk.
                    limit = min(ID_PAGE, chunk.read - seen) if chunk.read > seen else ID_PAGE
                    page = self._source.read_ids(
                        chunk.partition, chunk.start if key is None else key, chunk.end, limit, others
                    )
                    yield chunk, page
                    key, seen = page.next_key, seen + len(page.ids)

    def _later_partitions(self, partition: str | None) -> Sequence[str | None]:
        """The partitions whose points may replace those of this one in the target, because they share their ids."""
        if self._router.keeps_partitions:
            return ()
        return self._partitions[self._partitions.index(partition) + 1 :]

    def _with_page(self, part: ChunkIds, page: IdPage, chunk: ChunkRecord, rejects: set[bytes]) -> ChunkIds:
        ids = set(page.ids)
        rejected = ids & rejects
        absent = ids - rejected - self._present(page.ids, chunk)
        return ChunkIds(
            key=page.next_key,
            ids=part.ids + len(page.ids),
            digest=digest(b"".join(page.ids), part.digest),
            absent=part.absent + len(absent),
            rejected=part.rejected + len(rejected),
            repeated=part.repeated + len(page.repeated - rejects - absent),
            unreadable=part.unreadable + page.unreadable,
        )

    def _present(self, ids: Sequence[bytes], chunk: ChunkRecord) -> set[bytes]:
        """Those of the ids that the target has under the shard key of the chunk's points."""
        shard_key = self._router.shard_key(chunk.partition)
        return self._target.present_ids(ids, [shard_key]) if shard_key in self._shard_keys else set()

    def _with_chunk(self, comparison: IdComparison, chunk: ChunkRecord) -> IdComparison:
        """The comparison after the end of this chunk."""
        part, title = comparison.part, range_title(chunk, self._migration)
        is_changed = part.digest != chunk.ids_digest or part.ids != chunk.read
        lost, uncopied, changed = comparison.lost, comparison.uncopied, comparison.changed
        partitions = comparison.changed_partitions
        if is_changed:
            uncopied = uncopied.plus(part.absent, f"{part.absent:,} in {title}")
            changed = changed.plus(1, f"{chunk.read:,} read and {part.ids:,} now in {title}")
            partitions = sorted({*partitions, chunk.partition}, key=lambda one: one or "")
        else:
            lost = lost.plus(part.absent, f"{part.absent:,} in {title}")
        return IdComparison(
            chunk=chunk.index + 1,
            ids=comparison.ids + part.ids,
            rejected=comparison.rejected + part.rejected,
            lost=lost,
            uncopied=uncopied,
            repeated=comparison.repeated + part.repeated,
            unreadable=comparison.unreadable.plus(part.unreadable, f"{part.unreadable:,} in {title}"),
            changed=changed,
            changed_partitions=partitions,
        )


def range_title(chunk: ChunkRecord, migration: Migration) -> str:
    """A chunk's range of keys for people, with its partition."""
    of_partition = f" of {partition_title(migration, chunk.partition)}" if chunk.partition is not None else ""
    start, end = ("…" if key is None else key for key in (chunk.start, chunk.end))
    return f"[{start}, {end}){of_partition}"


def ahead(items: Iterator[Item]) -> Iterator[Item]:
    """Yield the items, and make the next one in a thread while one is used."""
    with ThreadPoolExecutor(1) as thread:
        making = thread.submit(next, items, None)
        while (item := making.result()) is not None:
            making = thread.submit(next, items, None)
            yield item
