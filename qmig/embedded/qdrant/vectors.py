"""Convert vectors between Qdrant's messages, in their older and newer form, and the storage engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qdrant_edge as edge

from qmig.embedded.qdrant.refusals import invalid, unserved
from qmig.qdrant import messages as api


def from_vectors(message: api.Vectors) -> Any:
    """Convert a point's vectors for the engine: one dense vector, or a dict of vectors by name."""
    kind = message.WhichOneof("vectors_options")
    if kind == "vector":
        vector = from_vector(message.vector)
        if isinstance(vector, edge.SparseVector):
            raise invalid("Sparse vector must be named")
        return vector
    if kind == "vectors":
        return {name: from_vector(vector) for name, vector in message.vectors.vectors.items()}
    raise invalid("No Vector Provided")


def from_vector(message: api.Vector) -> Any:
    kind = message.WhichOneof("vector")
    if kind in KINDS:
        return KINDS[kind](message)
    if kind is not None:
        raise unserved(f"a vector given as `{kind}`")
    if message.HasField("indices"):
        return sparse(message.indices.data, message.data)
    if message.HasField("vectors_count"):
        count = message.vectors_count
        data = list(message.data)
        if count == 0 or len(data) % count:
            raise invalid(
                "Validation error in body: [data: invalid dense vector length for vectors count "
                f"({len(data)} values, {count} vectors)]"
            )
        size = len(data) // count
        return multi([data[start : start + size] for start in range(0, len(data), size)] if size else [])
    return list(message.data)


def sparse(indices: Any, values: Any) -> edge.SparseVector:
    if len(indices) != len(values):
        raise invalid("Validation error in body: [values: must be the same length as indices]")
    if len(set(indices)) != len(indices):
        raise invalid("Validation error in body: [indices: must be unique]")
    return edge.SparseVector(list(indices), list(values))


def multi(vectors: list[list[float]]) -> list[list[float]]:
    if not vectors or not vectors[0]:
        raise invalid("Validation error in body: [data: multi vector must not be empty]")
    if any(len(vector) != len(vectors[0]) for vector in vectors):
        raise invalid("Validation error in body: [data: all vectors must have the same dimension]")
    return vectors


#: Decoders of a vector in the form of 1.17 and later, by its kind.
KINDS: dict[str | None, Callable[[Any], Any]] = {
    "dense": lambda message: list(message.dense.data),
    "sparse": lambda message: sparse(message.sparse.indices, message.sparse.values),
    "multi_dense": lambda message: multi([list(vector.data) for vector in message.multi_dense.vectors]),
}


def fill_vectors(message: api.VectorsOutput, vectors: Any) -> None:
    """Write a record's vectors into `message`, in the form of 1.17 and later."""
    if type(vectors) is list:
        fill_vector(message.vector, vectors)
        return
    message.vectors.SetInParent()
    for name, vector in vectors.items():
        fill_vector(message.vectors.vectors[name], vector)


def fill_vector(message: api.VectorOutput, vector: Any) -> None:
    if isinstance(vector, edge.SparseVector):
        message.sparse.indices.extend(vector.indices)
        message.sparse.values.extend(vector.values)
        message.sparse.SetInParent()
    elif vector and type(vector[0]) is list:
        for part in vector:
            message.multi_dense.vectors.add().data.extend(part)
    else:
        message.dense.data.extend(vector)
        message.dense.SetInParent()


def query_vector(message: api.VectorInput) -> Any:
    """The vector that a nearest-neighbour query searches with."""
    kind = message.WhichOneof("variant")
    if kind in KINDS:
        return KINDS[kind](message)
    raise unserved(f"`nearest` to `{kind}` in Query")
