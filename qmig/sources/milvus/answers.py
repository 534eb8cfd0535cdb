"""What an error answer of Milvus means: the one table of its codes and texts, in band and of gRPC."""

import re
from enum import Enum, auto

import grpc


class Meaning(Enum):
    """What a worker does about an error answer."""

    #: Ask for a part of the range: the answer has more rows or bytes than are sent at once.
    TOO_LARGE = auto()
    #: Wait and ask again.
    TRANSIENT = auto()
    #: The server has no such collection.
    NOT_FOUND = auto()
    #: The server has no such database.
    NO_DATABASE = auto()
    #: The collection is not in memory and can only be read there.
    NOT_LOADED = auto()
    #: A partition that the query names was released or dropped, or is not served yet although it is loaded.
    PARTITION_GONE = auto()
    #: A field is not in memory and can only be read there.
    FIELD_NOT_LOADED = auto()
    #: The server refuses the credentials.
    NO_ACCESS = auto()
    #: The server does not know the call.
    UNSUPPORTED = auto()
    #: Anything else, which a retry does not help.
    TERMINAL = auto()


# Codes of Milvus 2.3 and later (merr), see its pkg/util/merr/errors.go.
_CODES = {
    # Not ready, unavailable, internal, routed to another cluster, behind its clock, short of resources.
    **dict.fromkeys((1, 2, 5, 6, 11, 12), Meaning.TRANSIENT),
    # A limit on memory, requests, disk or rate, and a quota that denies reads. An operator can lift each.
    **dict.fromkeys((3, 4, 7, 8, 9, 1807), Meaning.TRANSIENT),
    # A collection that is being loaded or recovers.
    **dict.fromkeys((103, 106), Meaning.TRANSIENT),
    # A partition that is not found, not loaded or not fully loaded.
    **dict.fromkeys((200, 201, 202), Meaning.PARTITION_GONE),
    # Replicas, channels, segments and nodes that move or are away.
    **dict.fromkeys((400, 401, 500, 501, 503, 504, 600, 601, 602, 604), Meaning.TRANSIENT),
    **dict.fromkeys((901, 902, 903, 904, 905, 906), Meaning.TRANSIENT),
    # The object storage behind the server, a query that was cut off, and time-outs.
    **dict.fromkeys((1001, 1002, 2200, 2201, 10000, 10001), Meaning.TRANSIENT),
    10: Meaning.UNSUPPORTED,
    100: Meaning.NOT_FOUND,
    101: Meaning.NOT_LOADED,
    800: Meaning.NO_DATABASE,
    1400: Meaning.NO_ACCESS,
    1401: Meaning.NO_ACCESS,
    1800: Meaning.NO_ACCESS,
}
# Codes of older servers (`ErrorCode` in their common.proto), which later ones send besides.
_OLD_CODES = {
    2: Meaning.TRANSIENT,  # ConnectFailed
    3: Meaning.NO_ACCESS,  # PermissionDenied
    4: Meaning.NOT_FOUND,  # CollectionNotExists
    # NotShardLeader, NoReplicaAvailable, SegmentNotFound, ForceDeny, RateLimit, NodeIDNotMatch.
    **dict.fromkeys((45, 46, 47, 48, 49, 50), Meaning.TRANSIENT),
    # MemoryQuotaExhausted, DiskQuotaExhausted, TimeTickLongDelay.
    **dict.fromkeys((53, 54, 55), Meaning.TRANSIENT),
    # NotReadyServe, NotReadyCoordActivating, DataCoordNA.
    **dict.fromkeys((56, 57, 100), Meaning.TRANSIENT),
}
# Parts of the texts for an answer that is too large, in lower case. In order: gRPC, the proxy of Milvus and a query
# node.
_TOO_LARGE = ("message larger than max", "maxoutputsize", "exceed the limit size")
# The same for a limit on rows, which a text about a rate may contain too.
_TOO_MANY_ROWS = ("query result window", "exceeds the maximum")
# The errors of 2.3 about partitions and fields, in lower case; they have no code of their own.
_PARTITION_GONE = re.compile(
    # The last one comes from a query that was under way when its partition was released.
    r"partition (name \S+ )?not (found|loaded|fully loaded)|belongs to partition \d+, which is not in"
)
_FIELD_NOT_LOADED = re.compile(r"field\b.*\bnot loaded")
# Parts of the texts for a failure between Milvus' own servers, in lower case; their code says nothing.
_LOST_NODE = ("code = unavailable", "code = canceled", "deadline exceeded", "connection refused", "connection reset")


def meaning_of_status(code: int, old_code: int, retriable: bool, text: str) -> Meaning:
    """The meaning of a status in an answer; `text` is its reason."""
    if _has(text, _TOO_LARGE):
        return Meaning.TOO_LARGE
    if _PARTITION_GONE.search(text.lower()):
        return Meaning.PARTITION_GONE
    if _FIELD_NOT_LOADED.search(text.lower()):
        return Meaning.FIELD_NOT_LOADED
    meaning = _CODES.get(code) if code else _OLD_CODES.get(old_code)
    if meaning is not None:
        return meaning
    # A code that is not in the table, such as the one for anything unexpected.
    if _has(text, _TOO_MANY_ROWS):
        return Meaning.TOO_LARGE
    return Meaning.TRANSIENT if retriable or _has(text, _LOST_NODE) else Meaning.TERMINAL


def meaning_of_call(status: grpc.StatusCode, text: str) -> Meaning | None:
    """The meaning of a failed call; None where it means the same from every server.

    RESOURCE_EXHAUSTED is about a message's size if its text says so. Otherwise it is about a rate or a quota, which
    gateways answer too: a part of the range would not fare better.
    """
    if _has(text, _TOO_LARGE):
        return Meaning.TOO_LARGE
    return Meaning.UNSUPPORTED if status == grpc.StatusCode.UNIMPLEMENTED else None


def _has(text: str, signs: tuple[str, ...]) -> bool:
    return any(sign in text.lower() for sign in signs)
