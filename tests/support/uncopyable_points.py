"""A source some of whose points a target does not take."""

from collections.abc import Callable

from qmig.qdrant import messages as api
from tests.support.collections import create, dense, dense_params, fill, point, simple_points
from tests.support.ends import Ends

POINTS = 2000
BAD = (3, 700, 701, 1999)
MEBIBYTE = 1024 * 1024


def large(key: int) -> api.PointStruct:
    """A point larger than a mebibyte."""
    return point(key, dense([1, 2, 3, 4]), {"text": "x" * 2 * MEBIBYTE})


def fill_with(ends: Ends, bad: Callable[[int], api.PointStruct]) -> None:
    """Make the source of simple points, with what `bad` makes of the keys in BAD among them."""
    create(ends.source, ends.source_name, dense_params())
    points = [bad(key) if key in BAD else one for key, one in enumerate(simple_points(POINTS))]
    fill(ends.source, ends.source_name, points)
