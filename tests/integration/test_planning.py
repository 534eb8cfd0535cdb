"""The plan of a real collection is sampled once, has chunks of about the same size, and has no gap."""

import random
import uuid
from bisect import bisect_left
from itertools import pairwise

from qmig.coordinator.plan import cut, plan_size
from qmig.qdrant.keys import PointKey
from qmig.qdrant.reader import CollectionReader
from tests.support.collections import PointIds, create, dense, dense_params, fill, point
from tests.support.ends import Ends

MIGRATION = str(uuid.UUID(int=1))


def test_chunks_are_about_even_and_leave_no_gap(ends: Ends) -> None:
    """Ids are numbers near zero, and UUIDs. The sizes of chunks vary by a seventh, because boundaries are sampled."""
    numbers = random.Random(6)
    keys: set[PointIds] = {int(numbers.lognormvariate(20, 5)) for _ in range(3000)}
    keys |= {str(uuid.UUID(int=numbers.getrandbits(128))) for _ in range(1500)}
    create(ends.source, ends.source_name, dense_params(1))
    fill(ends.source, ends.source_name, [point(key, dense([1.0])) for key in sorted(keys, key=str)])
    source = CollectionReader(ends.source, ends.source_name)

    chunks = list(cut(source, plan_size(source, 300), MIGRATION))

    assert 13 <= len(chunks) <= 16
    assert (chunks[0].start, chunks[-1].end) == (None, None)
    assert all(chunk.end == following.start for chunk, following in pairwise(chunks))
    ordered = sorted(PointKey(str(key)) for key in keys)
    cuts = [bisect_left(ordered, PointKey(chunk.start)) for chunk in chunks[1:] if chunk.start]
    sizes = [end - start for start, end in pairwise([0, *cuts, len(ordered)])]
    assert len(sizes) == len(chunks)
    assert min(sizes) >= 100
    assert max(sizes) <= 700


def test_an_empty_collection_is_one_open_chunk(ends: Ends) -> None:
    create(ends.source, ends.source_name, dense_params(1))

    source = CollectionReader(ends.source, ends.source_name)
    chunks = cut(source, plan_size(source, 10), MIGRATION)

    assert [(chunk.start, chunk.end, chunk.expected) for chunk in chunks] == [(None, None, 0)]
