"""Cut a collection into ranges of equal size: at ids of a random sample, or else at ids that are read in order."""

import logging
from collections.abc import Callable, Iterator
from math import ceil
from typing import Protocol

from qmig.errors import QmigError, TerminalError
from qmig.qdrant import messages as api
from qmig.qdrant.batch import Boundary, IdPage
from qmig.qdrant.ids import id_text
from qmig.qdrant.keys import PointKey, shard_key_selector
from qmig.qdrant.server import Server

#: Sampled ids for each chunk. The size of a chunk then varies by 1/sqrt(50), about a seventh.
SAMPLES_PER_CHUNK = 50
#: Sampled ids for one plan.
MAX_SAMPLES = 100_000
#: Queries for one sample, where strict mode allows only a few ids in one answer.
MAX_SAMPLE_QUERIES = 200
#: Seconds for which a sample is tried again before the ids are read instead.
SAMPLE_RETRY_FOR = 10.0
#: Ids in one page of an id-only scroll.
ID_PAGE = 20_000

log = logging.getLogger(__name__)


class ReadIds(Protocol):
    """Reads a page of ids in their order."""

    def __call__(self, partition: str | None, start: str | None, end: str | None, limit: int, /) -> IdPage: ...


class Cutter:
    """Finds the ids at which a collection is cut."""

    def __init__(self, server: Server, collection: str, allowed: Callable[[int], int], read_ids: ReadIds) -> None:
        """`allowed` reduces the limit of a query to what the collection's strict mode allows."""
        self._server = server
        self._collection = collection
        self._allowed = allowed
        self._read_ids = read_ids
        self._draws_samples = True

    def boundaries(self, partition: str | None, pieces: int, start: str | None, points: int) -> Iterator[Boundary]:
        """Cut a partition of about `points` points into about `pieces` ranges of equal size, at ids above `start`.

        The ids are those of a random sample. A server that draws none is read through for its ids alone.
        """
        keys = self._sample(partition, min(MAX_SAMPLES, pieces * SAMPLES_PER_CHUNK)) if self._draws_samples else None
        if keys is None:
            yield from self._boundaries_by_scroll(partition, -(-points // pieces), start)
            return
        cuts = {keys[len(keys) * piece // pieces] for piece in range(1, pieces)} if keys else set()
        for key in sorted(cuts):
            if start is None or key > PointKey(start):
                yield Boundary(key.text, points // (len(cuts) + 1))

    def draw(self, partition: str | None, limit: int, retry_for: float) -> list[PointKey]:
        """Draw up to `limit` ids of a partition at random, or as many as strict mode allows in one answer."""
        request = api.QueryPoints(
            collection_name=self._collection,
            query=api.Query(sample=api.Random),
            limit=self._allowed(limit),
            with_payload=api.WithPayloadSelector(enable=False),
            with_vectors=api.WithVectorsSelector(enable=False),
            shard_key_selector=shard_key_selector(partition),
        )
        answer = self._server.call(self._server.points.Query, request, retry_for=retry_for)
        return [PointKey.of(point.id) for point in answer.result]

    def _sample(self, partition: str | None, size: int) -> list[PointKey] | None:
        """Draw about `size` ids at random and sort them; several queries where strict mode limits one answer.

        None where the server draws none: an old server, a gateway that does not let the query through, or a
        collection of which every sample fails (one with prevent_unoptimized, measured on 1.19.0).
        """
        keys: list[PointKey] = []
        for _ in range(min(MAX_SAMPLE_QUERIES, ceil(size / self._allowed(size)))):
            try:
                keys += self.draw(partition, size, SAMPLE_RETRY_FOR)
            except QmigError as error:
                self._draws_samples = False
                log.warning("no sample of the ids can be drawn, so all of them are read to plan: %s", error)
                return None
        return sorted(keys)

    def _boundaries_by_scroll(self, partition: str | None, size: int, start: str | None) -> Iterator[Boundary]:
        """Read the ids from `start` on, and yield the id after every `size` of them."""
        before = 0
        last: PointKey | None = None
        next_key = start
        while True:
            page = self._read_ids(partition, next_key, None, ID_PAGE)
            for one in page.ids:
                key = PointKey(id_text(one))
                if last is not None and key <= last:
                    raise TerminalError(
                        f"{self._server.role} {self._server.endpoint.url}: a scroll of {self._collection!r} returned "
                        f"id {key.text} after {last.text}; it cannot be planned by ids that are out of order"
                    )
                if before >= size:
                    yield Boundary(key.text, before)
                    before = 0
                before, last = before + 1, key
            if page.next_key is None:
                return
            next_key = page.next_key
