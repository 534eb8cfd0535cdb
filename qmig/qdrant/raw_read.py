"""Reads under way, and the batches of points that their answers hold."""

from bisect import bisect_left
from collections.abc import Callable
from typing import Generic, TypeVar

from qmig.qdrant.batch import Batch, InvalidRow
from qmig.qdrant.encoding import MAX_LEVELS
from qmig.qdrant.keys import PointKey
from qmig.qdrant.nesting import too_deep
from qmig.qdrant.passthrough import SuspectPoint, point_id, read_scroll
from qmig.rpc.call import Call

Answer = TypeVar("Answer")


class RawRead(Generic[Answer]):
    """A call under way whose answer is converted from its bytes."""

    def __init__(self, call: Call[bytes], convert: Callable[[bytes], Answer]) -> None:
        self._call = call
        self._convert = convert

    def wait(self, seconds: float) -> bool:
        """Wait for the answer, at most `seconds`; whether it has arrived."""
        return self._call.wait(seconds)

    def result(self) -> Answer:
        """Wait for the answer; TransientError or TerminalError where the call failed."""
        return self._convert(self._call.result())


def batch_before(response: bytes, end: str | None) -> Batch:
    """The points of a scroll response below `end`: a scroll has a start, but no end."""
    points, next_page = read_scroll(response)
    next_key = None if next_page is None else PointKey.of(next_page)
    if end is not None:
        stop = PointKey(end)
        if next_key is None or next_key >= stop:
            next_key = None
            del points[bisect_left(points, stop, key=lambda point: PointKey.of(point_id(point))) :]
    return batch_of(points, None if next_key is None else next_key.text)


def batch_of(points: list[bytes], next_key: str | None) -> Batch:
    """A batch of points, without those that no server survives."""
    if any(isinstance(point, SuspectPoint) for point in points):
        return Batch.of(list(map(_checked, points)), next_key)
    return Batch(points, next_key)


def _checked(point: bytes) -> bytes | InvalidRow:
    """The point itself, or why it cannot be copied."""
    found = too_deep(point) if isinstance(point, SuspectPoint) else None
    if found is None:
        return point
    name, levels = found
    key = PointKey.of(point_id(point)).text
    return InvalidRow(
        key,
        key,
        f"its payload field {name!r} is nested {levels} deep, and after a write of more than {MAX_LEVELS} levels a "
        "Qdrant does not start again; make the field less deep",
    )
