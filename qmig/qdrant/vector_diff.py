"""Compare the vectors of a point at both ends, as the target stores them."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qmig.qdrant import messages as api
from qmig.qdrant.lossy import is_turbo
from qmig.qdrant.schema_diff import Vectors

#: Distance of two directions that count as equal: Qdrant normalises the vectors of a cosine collection in float32.
MAX_DIRECTION_DIFFERENCE = 1e-6
#: Distance up to which two vectors in a turbo datatype count as equal, in lengths of the source's.
MAX_TURBO_DIFFERENCE = 0.2

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]


@dataclass(frozen=True)
class _Vector:
    """One vector, whatever its form on the wire."""

    #: One row for a dense vector, several for a multivector; the values of a sparse vector.
    rows: Floats
    #: Indices of a sparse vector; None for the others.
    indices: NDArray[np.uint32] | None = None


class VectorComparison:
    """Compares vectors for the target collection that `info` describes."""

    def __init__(self, info: api.CollectionInfo) -> None:
        self._dense = Vectors.of(info).dense

    def difference(self, source: api.Vectors, target: api.Vectors) -> str | None:
        """Describe the first difference in one line; None if there is none."""
        ours, theirs = _by_name(source), _by_name(target)
        for name in sorted(ours.keys() | theirs.keys()):
            found = self._of_one(name, ours.get(name), theirs.get(name))
            if found is not None:
                return f"vector {name!r}{found}" if name else f"the unnamed vector{found}"
        return None

    def _of_one(self, name: str, source: api.Vector | None, target: api.Vector | None) -> str | None:
        if source is None or target is None:
            return " is missing in the target" if target is None else " is in the target only"
        if source == target:
            return None
        ours, theirs = _decoded(source), _decoded(target)
        if ours is None or theirs is None:
            return " is of a kind that this qmig does not know, and not the same"
        if (ours.indices is None) != (theirs.indices is None):
            return f": {_kind(ours)} ≠ {_kind(theirs)}"
        if ours.indices is not None and theirs.indices is not None:
            return _sparse_difference(ours.indices, ours.rows[0], theirs.indices, theirs.rows[0])
        if ours.rows.shape != theirs.rows.shape:
            return f": {_shape(ours.rows)} ≠ {_shape(theirs.rows)}"
        return _dense_difference(ours.rows, theirs.rows, self._dense.get(name, api.VectorParams()))


def _dense_difference(ours: Floats, theirs: Floats, params: api.VectorParams) -> str | None:
    """Compare row by row, each value as the target's datatype holds it."""
    # Whatever the distance, uint8 truncates and does not round (measured on 1.18.3).
    if params.datatype == api.Datatype.Uint8:
        return _first_unequal(np.clip(np.trunc(np.nan_to_num(ours, posinf=255)), 0, 255), theirs)
    if is_turbo(params):
        return _turbo_difference(ours, theirs)
    if params.distance == api.Distance.Cosine:
        return _direction_difference(ours, theirs, params.datatype == api.Datatype.Float16)
    if params.datatype == api.Datatype.Float16:
        with np.errstate(over="ignore"):
            return _first_unequal(ours.astype(np.float16).astype(np.float32), theirs)
    return _first_unequal(ours, theirs)


def _turbo_difference(ours: Floats, theirs: Floats) -> str | None:
    """Compare vectors that were quantised again when they were copied."""
    apart = np.linalg.norm(ours.astype(np.float64) - theirs, axis=1)
    far = apart > MAX_TURBO_DIFFERENCE * np.linalg.norm(ours.astype(np.float64), axis=1)
    return _first_unequal(ours, theirs) if far.any() or np.isnan(apart).any() else None


def _direction_difference(ours: Floats, theirs: Floats, is_half: bool) -> str | None:
    for row, (one, other) in enumerate(zip(ours.astype(np.float64), theirs.astype(np.float64), strict=True)):
        mine, stored = _direction(one), _direction(other)
        if mine is None or stored is None:
            if found := _first_unequal(one[None], other[None]):
                return found
            continue
        gap = mine - stored
        apart = math.sqrt(gap @ gap)
        if apart > MAX_DIRECTION_DIFFERENCE and not (is_half and apart <= _half_rounding(mine)):
            return f"{f', row {row}' if len(ours) > 1 else ''}: direction differs by {apart:.1g}"
    return None


def _direction(row: Doubles) -> Doubles | None:
    """Scale a row to length 1; None where it has no direction."""
    length = math.sqrt(row @ row)
    return row / length if 0 < length < math.inf else None


def _half_rounding(row: Doubles) -> float:
    """The change of a direction if the last bit of each half-precision number changes.

    A half-precision source returns numbers that the target normalises and rounds once more.
    """
    bits = np.spacing(np.abs(row).astype(np.float16)).astype(np.float64)
    return math.sqrt(bits @ bits)


def _sparse_difference(
    our_indices: NDArray[np.uint32], ours: Floats, their_indices: NDArray[np.uint32], theirs: Floats
) -> str | None:
    """Compare by index, whatever the order: Qdrant sorts the indices."""
    mine, other = dict(zip(our_indices, ours, strict=True)), dict(zip(their_indices, theirs, strict=True))
    for index in sorted(mine.keys() | other.keys()):
        if index not in other:
            return f": {mine[index]!s} at index {index} is missing in the target"
        if index not in mine:
            return f": {other[index]!s} at index {index} is in the target only"
        if mine[index] != other[index] and not (np.isnan(mine[index]) and np.isnan(other[index])):
            return f": {mine[index]!s} ≠ {other[index]!s} at index {index}"
    return None


def _first_unequal(ours: Floats | Doubles, theirs: Floats | Doubles) -> str | None:
    equal = (ours == theirs) | (np.isnan(ours) & np.isnan(theirs))
    if equal.all():
        return None
    row, place = np.argwhere(~equal)[0]
    where = f"{place}" if len(ours) == 1 else f"{place} of row {row}"
    more = np.count_nonzero(~equal) - 1
    return f": {ours[row, place]!s} ≠ {theirs[row, place]!s} at {where}" + (f", and {more:,} more" if more else "")


def _by_name(vectors: api.Vectors) -> dict[str, api.Vector]:
    """The vectors of a point by name; the unnamed vector has the empty name, as in Qdrant itself."""
    if vectors.WhichOneof("vectors_options") == "vector":
        return {"": vectors.vector}
    return dict(vectors.vectors.vectors)


def _decoded(vector: api.Vector) -> _Vector | None:
    """Decode a vector in the form of 1.17 and later or in the older one; None where it has neither form."""
    kind = vector.WhichOneof("vector")
    if kind == "dense":
        return _Vector(_dense(vector.dense)[None])
    if kind == "sparse":
        return _Vector(np.array(vector.sparse.values, np.float32)[None], np.array(vector.sparse.indices, np.uint32))
    if kind == "multi_dense":
        return _matrix([_dense(row) for row in vector.multi_dense.vectors])
    if kind is not None:
        return None
    data = np.array(vector.data, np.float32)
    if vector.HasField("indices"):
        return _Vector(data[None], np.array(vector.indices.data, np.uint32))
    rows = vector.vectors_count if vector.HasField("vectors_count") else 1
    return _Vector(data.reshape(rows, -1)) if rows and len(data) % rows == 0 else None


def _matrix(rows: list[Floats]) -> _Vector | None:
    if len({len(row) for row in rows}) > 1:
        return None
    return _Vector(np.stack(rows) if rows else np.zeros((0, 0), np.float32))


def _dense(vector: api.DenseVector) -> Floats:
    """The numbers of a dense vector: its bytes end with its only field, which is packed."""
    packed = vector.SerializeToString()
    return np.frombuffer(packed, "<f4", offset=len(packed) - 4 * len(vector.data))


def _kind(vector: _Vector) -> str:
    if vector.indices is not None:
        return "a sparse vector"
    return _shape(vector.rows)


def _shape(rows: Floats) -> str:
    return f"{rows.shape[1]} numbers" if len(rows) == 1 else f"{rows.shape[0]} rows of {rows.shape[1]}"
