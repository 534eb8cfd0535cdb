"""Turn the bytes of a scroll response into the bytes of an upsert, without decoding vectors or payloads.

A `RetrievedPoint` and a `PointStruct` hold the same submessages (Qdrant's `points.proto`): `id` is field 1 of
both, `vectors` field 4 of both, `payload` field 2 of the one and 3 of the other. So a point is
converted by renumbering its payload entries, one byte each, and by leaving out what only the response has
(`shard_key` 5, `order_value` 6). Everything else stays as the server wrote it, even fields that qmig does not know.
"""

from collections.abc import Iterator, Sequence

from google.protobuf.message import DecodeError

from qmig.errors import TerminalError
from qmig.qdrant import messages as api
from qmig.qdrant.encoding import LIST, MAX_LEVELS, STRUCT, varint

# Tags on the wire: field number << 3 | wire type 2 (length-delimited).
_ID = 1 << 3 | 2
_READ_PAYLOAD = 2 << 3 | 2
_WRITE_PAYLOAD = 3 << 3 | 2
_SHARD_KEY = 5 << 3 | 2
_ORDER_VALUE = 6 << 3 | 2
_NEXT_PAGE_OFFSET = 1 << 3 | 2
_RESULT = 2 << 3 | 2
_GET_RESULT = 1 << 3 | 2
_ENTRY_KEY, _ENTRY_VALUE = 1 << 3 | 2, 2 << 3 | 2
_POINTS = bytes([3 << 3 | 2])
_GET_IDS = bytes([2 << 3 | 2])
_FIXED_SIZES = {1: 8, 5: 4}

#: Bytes of a payload entry from which its depth matters: none that is smaller has more levels than a server survives
#: (`MAX_LEVELS`).
LARGE_ENTRY = 512


def read_scroll(response: bytes) -> tuple[list[bytes], api.PointId | None]:
    """Read the points of a serialized `ScrollResponse` as serialized `PointStruct`s, and the id of the next page."""
    points: list[bytes] = []
    next_page: api.PointId | None = None
    try:
        for tag, start, end in fields(response, 0, len(response)):
            if tag == _RESULT:
                points.append(_to_point_struct(response[start:end]))
            elif tag == _NEXT_PAGE_OFFSET:
                next_page = api.PointId.FromString(response[start:end])
    except IndexError:
        raise TerminalError("the source's answer is cut off and cannot be read") from None
    return points, next_page


def read_get(response: bytes) -> list[bytes]:
    """Read the points of a serialized `GetResponse` as serialized `PointStruct`s."""
    try:
        return [
            _to_point_struct(response[start:end])
            for tag, start, end in fields(response, 0, len(response))
            if tag == _GET_RESULT
        ]
    except IndexError:
        raise TerminalError("the server's answer is cut off and cannot be read") from None


def upsert_request(header: bytes, points: Sequence[bytes]) -> bytes:
    """Build a serialized `UpsertPoints` from serialized `PointStruct`s and `header`, all its other fields."""
    return _with_each(header, _POINTS, points)


def get_request(header: bytes, ids: Sequence[bytes]) -> bytes:
    """Build a serialized `GetPoints` from serialized `PointId`s and `header`, all its other fields."""
    return _with_each(header, _GET_IDS, ids)


def read_upsert(request: bytes) -> tuple[bytes, list[bytes]]:
    """Split what `upsert_request` built into header and points."""
    points: list[bytes] = []
    header_end = 0
    for tag, start, end in fields(request, 0, len(request)):
        if tag == _POINTS[0]:
            points.append(request[start:end])
        else:
            header_end = end
    return request[:header_end], points


class SuspectPoint(bytes):
    """A serialized `PointStruct` with a payload entry that may be nested too deep; `nesting` tells."""


def point_id(point: bytes) -> api.PointId:
    """The id of a serialized `PointStruct`."""
    return api.PointId.FromString(raw_id(point))


def raw_id(point: bytes) -> bytes:
    """The id of a serialized `PointStruct` as a serialized `PointId`; equal ids have equal bytes."""
    # Every server sends it first, and it is short.
    if len(point) > 2 and point[0] == _ID and point[1] < 128:
        return point[2 : 2 + point[1]]
    for tag, start, end in fields(point, 0, len(point)):
        if tag == _ID:
            return point[start:end]
    raise TerminalError("the source's answer has a point without an id")


def split(message: bytes) -> list[bytes]:
    """Split a message into its fields, each with its tag, in their order."""
    found: list[bytes] = []
    position, end = 0, len(message)
    try:
        while position < end:
            start = position
            tag = message[position]
            if tag & 7 == 2 and tag < 128:
                length = message[position + 1]
                position += 2
                if length > 127:
                    length, position = _read_varint(message, position - 1)
                position += length
            else:
                _, position = _skip(message, position)
            found.append(message[start:position])
    except IndexError:
        position = -1
    if position != end:
        raise TerminalError("a message is cut off and cannot be read")
    return found


def field_number(field: bytes) -> int:
    """The number of a field that `split` returned."""
    return _read_varint(field, 0)[0] >> 3


def payload_value(point: bytes, key: str) -> api.Value | None:
    """The value under a top-level `key` of a serialized `PointStruct`'s payload; None where it has no such key.

    A list or an object that is nested too deep for this client is empty.
    """
    name = key.encode()
    for tag, start, end in fields(point, 0, len(point)):
        if tag == _WRITE_PAYLOAD and point.find(name, start, end) >= 0:
            found, value = _entry(point, start, end)
            if found == name:
                return _decoded(value)
    return None


def raw_payload(point: bytes) -> dict[bytes, bytes]:
    """The serialized values of a serialized `PointStruct`'s payload by their keys."""
    return dict(
        _entry(point, start, end) for tag, start, end in fields(point, 0, len(point)) if tag == _WRITE_PAYLOAD
    )


def _decoded(value: bytes) -> api.Value:
    try:
        return api.Value.FromString(value)
    except DecodeError:
        return api.Value(list_value=api.ListValue())


def raw_members(struct: bytes) -> dict[bytes, bytes]:
    """The serialized values of a serialized `Struct` by their names."""
    return dict(_entry(struct, start, end) for _, start, end in fields(struct, 0, len(struct)))


def _entry(message: bytes, start: int, end: int) -> tuple[bytes, bytes]:
    """Key and value of a map's entry; what is missing is empty."""
    parts = {tag: message[first:last] for tag, first, last in fields(message, start, end)}
    return parts.get(_ENTRY_KEY, b""), parts.get(_ENTRY_VALUE, b"")


def _with_each(header: bytes, tag: bytes, messages: Sequence[bytes]) -> bytes:
    parts = [header]
    for message in messages:
        parts += (tag, varint(len(message)), message)
    return b"".join(parts)


def _to_point_struct(point: bytes) -> bytes:
    """Convert a `RetrievedPoint` to a `PointStruct`. The loop runs for each field of every point: keep it lean."""
    renumbered = bytearray(point)
    is_suspect = False
    dropped: list[tuple[int, int]] = []
    position, end = 0, len(point)
    while position < end:
        field = position
        tag = point[position]
        if tag & 7 != 2 or tag > 127:
            _, position = _skip(point, position)
            continue
        length = point[position + 1]
        if length < 128:
            position += 2 + length
        else:
            length, position = _read_varint(point, position + 1)
            position += length
            if tag == _READ_PAYLOAD and length >= LARGE_ENTRY and _may_be_deep(point, position - length, position):
                is_suspect = True
        if tag == _READ_PAYLOAD:
            renumbered[field] = _WRITE_PAYLOAD
        elif tag in (_SHARD_KEY, _ORDER_VALUE):
            dropped.append((field, position))
    if position != end:
        raise TerminalError("a point in the source's answer is cut off and cannot be read")
    for first, last in reversed(dropped):
        del renumbered[first:last]
    return SuspectPoint(renumbered) if is_suspect else bytes(renumbered)


def _may_be_deep(point: bytes, start: int, end: int) -> bool:
    """Whether a payload entry has as many tags of lists and objects as one that is too deep; most are texts."""
    if point[start] == _ENTRY_KEY and point[start + 1] < 128:
        value = start + 2 + point[start + 1]
        if point[value] == _ENTRY_VALUE and point[_read_varint(point, value + 1)[1]] not in (LIST[0], STRUCT[0]):
            return False
    return point.count(LIST, start, end) + point.count(STRUCT, start, end) > MAX_LEVELS


def fields(message: bytes, position: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield each field's tag, and the start and end of its contents."""
    while position < end:
        tag, start = _read_varint(message, position)
        if tag & 7 == 2:
            length, start = _read_varint(message, start)
            position = start + length
        else:
            _, position = _skip(message, position)
        if position > end:
            raise TerminalError("the source's answer is cut off and cannot be read")
        yield tag, start, position


def _skip(message: bytes, position: int) -> tuple[int, int]:
    """The tag of the field at `position`, and the position of the next field."""
    tag, start = _read_varint(message, position)
    kind = tag & 7
    if kind == 0:
        return tag, _read_varint(message, start)[1]
    if kind == 2:
        length, start = _read_varint(message, start)
        return tag, start + length
    if kind in _FIXED_SIZES:
        return tag, start + _FIXED_SIZES[kind]
    raise TerminalError(f"the source's answer has a field of wire type {kind} and cannot be read")


def _read_varint(message: bytes, position: int) -> tuple[int, int]:
    """Decode a base-128 number; also the position behind it (protobuf's encoding guide)."""
    value = shift = 0
    while True:
        byte = message[position]
        position += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, position
        shift += 7
