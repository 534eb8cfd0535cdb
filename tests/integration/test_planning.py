"""A plan of a real collection: sampled once, about even, and without a gap."""

import random
import uuid
from bisect import bisect_left
from itertools import pairwise

from qmig.plan import make_plan
from qmig.sources.qdrant import QdrantSource
from qmig.wire.keys import PointKey
from tests.conftest import Ends
from tests.contents import PointIds, create, dense, dense_params, fill, point

MIGRATION = str(uuid.UUID(int=1))


def test_chunks_are_about_even_and_leave_no_gap(ends: Ends) -> None:
    """Numbers that crowd at zero, and UUIDs; a chunk's size varies by a seventh, as its cuts are sampled."""
    numbers = random.Random(6)
    keys: set[PointIds] = {int(numbers.lognormvariate(20, 5)) for _ in range(3000)}
    keys |= {str(uuid.UUID(int=numbers.getrandbits(128))) for _ in range(1500)}
    create(ends.source, ends.source_name, dense_params(1))
    fill(ends.source, ends.source_name, [point(key, dense([1.0])) for key in sorted(keys, key=str)])
    source = QdrantSource(ends.source, ends.source_name)

    plan = make_plan(source, MIGRATION, 300)

    assert 13 <= len(plan.chunks) <= 16
    assert (plan.chunks[0].start, plan.chunks[-1].end) == (None, None)
    assert all(chunk.end == following.start for chunk, following in pairwise(plan.chunks))
    ordered = sorted(PointKey(str(key)) for key in keys)
    cuts = [bisect_left(ordered, PointKey(chunk.start)) for chunk in plan.chunks[1:] if chunk.start]
    sizes = [end - start for start, end in pairwise([0, *cuts, len(ordered)])]
    assert len(sizes) == len(plan.chunks)
    assert min(sizes) >= 100
    assert max(sizes) <= 700


def test_an_empty_collection_is_one_open_chunk(ends: Ends) -> None:
    create(ends.source, ends.source_name, dense_params(1))

    plan = make_plan(QdrantSource(ends.source, ends.source_name), MIGRATION, 10)

    assert [(chunk.start, chunk.end, chunk.aim) for chunk in plan.chunks] == [(None, None, 0)]
