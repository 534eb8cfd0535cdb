"""Point ids as they are on the wire: read from answers, and summed up in a digest.

An id is a serialized `PointId`; equal ids have equal bytes. Comparing collections by their ids costs a third of the
time without text and messages in between.
"""

from zlib import crc32

from qmig.qdrant import messages as api
from qmig.qdrant.batch import Batch
from qmig.qdrant.keys import PointKey
from qmig.qdrant.passthrough import raw_id, read_get, read_scroll

# Tags on the wire: the points of a `ScrollResponse` and of a `GetResponse`, and the id of a point.
_SCROLLED, _GOT, _ID = 2 << 3 | 2, 1 << 3 | 2, 1 << 3 | 2
# Longest point whose length is one byte.
_SHORT = 127


def scrolled_ids(response: bytes) -> tuple[list[bytes], api.PointId | None]:
    """Read the ids in a serialized `ScrollResponse`, and the id of the next page."""
    ids, position = _leading_ids(response, _SCROLLED)
    points, next_page = read_scroll(response[position:])
    return ids + [raw_id(point) for point in points], next_page


def got_ids(response: bytes) -> list[bytes]:
    """Read the ids in a serialized `GetResponse`."""
    ids, position = _leading_ids(response, _GOT)
    return ids + [raw_id(point) for point in read_get(response[position:])]


def raw_id_of(text: str) -> bytes:
    """Serialize an id that is given as text."""
    return PointKey(text).to_message().SerializeToString()


def id_text(raw: bytes) -> str:
    """Write a serialized id as text."""
    return PointKey.of(api.PointId.FromString(raw)).text


def batch_ids(batch: Batch) -> bytes:
    """The ids of a batch one after another in the order of its keys, with those of its invalid rows."""
    ids = [raw_id(point) for point in batch.points]
    for row in reversed(batch.invalid_rows):
        ids.insert(row.position, raw_id_of(row.point))
    return b"".join(ids)


def digest(ids: bytes, before: int = 0) -> int:
    """Continue the digest `before` with ids that stand one after another: a CRC-32 over all ids of a range.

    It does not depend on the pages or batches that the ids are read in.
    """
    return crc32(ids, before)


def _leading_ids(response: bytes, tag: int) -> tuple[list[bytes], int]:
    """The ids of the points at the start of an answer that hold little but their id, and the position after them."""
    ids: list[bytes] = []
    position, last = 0, len(response) - 4
    while position < last and response[position] == tag:
        length = response[position + 1]
        if length > _SHORT or response[position + 2] != _ID or response[position + 3] > length - 2:
            break
        start = position + 4
        ids.append(response[start : start + response[position + 3]])
        position += 2 + length
    return ids, position
