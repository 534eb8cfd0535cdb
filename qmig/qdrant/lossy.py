"""What changes on its way from one Qdrant to another, although both have the same settings."""

import re
from collections.abc import Iterator

from qmig.errors import QmigError
from qmig.qdrant import messages as api
from qmig.qdrant.enum_names import enum_name
from qmig.qdrant.passthrough import raw_payload
from qmig.qdrant.reader import CollectionReader
from qmig.qdrant.schema_diff import Vectors

#: Points whose payloads are looked at, and the bytes of payload after which no more are.
SAMPLE_POINTS, SAMPLE_BYTES = 256, 8 * 1024 * 1024
#: Points of the first read, which shows how large payloads are.
FIRST_POINTS = 4

# A `Value` that holds a double from 2^63 to 2^64, alone or within another: 8 bytes, the lowest first. A server shows
# an integer between these as such a double (measured on 1.19.0). Larger integers are doubles in its storage already,
# and so are those below -2^63.
BIG = re.compile(rb"(?:\A|\x09)\x11(?:.{6}[\xe0-\xef]\x43|\0{6}\xf0\x43)", re.DOTALL)


def is_turbo(params: api.VectorParams) -> bool:
    """Whether a vector is in one of the turbo datatypes, which quantise its numbers whenever a server stores them.

    Measured on 1.19.0 with turbo4: under Dot, Euclid and Manhattan the copy of a vector differs by 1 to 4 % of its
    length, at most by 13 %; under cosine distance one copy of 2,000 differed.
    """
    return enum_name(api.Datatype.DESCRIPTOR, params.datatype).startswith("Turbo")


def requantized_notices(target: api.CollectionInfo) -> list[str]:
    """Say what a copy does to vectors in a turbo datatype, and the ways out; one line each."""
    return [
        f"{_vector(name)} is in a turbo datatype, which quantises again at every write: "
        f"{'some vectors' if params.distance == api.Distance.Cosine else 'the numbers'} of the copy differ from the "
        "source's by some percent; make the target beforehand with the datatype float32 for it, or restore a "
        "snapshot of the source instead"
        for name, params in _turbo_vectors(target)
    ]


def uncompared_notices(target: api.CollectionInfo) -> list[str]:
    """Say what a comparison cannot tell of vectors in a turbo datatype; one line each."""
    return [
        f"{_vector(name)} is in a turbo datatype, which changes it at every write: this comparison cannot tell "
        "changes of less than 20 % of its length"
        for name, _ in _turbo_vectors(target)
    ]


def _turbo_vectors(target: api.CollectionInfo) -> list[tuple[str, api.VectorParams]]:
    return sorted((name, params) for name, params in Vectors.of(target).dense.items() if is_turbo(params))


def big_integer_fields(reader: CollectionReader) -> list[str]:
    """Payload fields with doubles from 2^63 to 2^64, which may be integers; found in a sample of points."""
    found: set[str] = set()
    try:
        for point in _sampled_payloads(reader):
            found.update(
                name.decode(errors="replace") for name, value in raw_payload(point).items() if BIG.search(value)
            )
    except QmigError:
        # A source that cannot be sampled is not a reason to stop.
        return []
    return sorted(found)


def _sampled_payloads(reader: CollectionReader) -> Iterator[bytes]:
    ids = reader.some_ids(SAMPLE_POINTS)
    read = size = 0
    while read < len(ids) and size < SAMPLE_BYTES:
        count = (SAMPLE_BYTES - size) * read // size if size else FIRST_POINTS
        points = reader.payloads(ids[read : read + max(1, count)])
        read += max(1, count)
        size += sum(map(len, points)) + 1
        yield from points


def _vector(name: str) -> str:
    return f"vector {name!r}" if name else "the unnamed vector"
