"""Points of every kind, made up from a seed."""

import random
import uuid

from qdrant_client import grpc as api


def an_id(numbers: random.Random) -> api.PointId:
    if numbers.random() < 0.5:
        return api.PointId(num=numbers.choice([0, 1, 2**63, 2**64 - 1, numbers.getrandbits(64)]))
    return api.PointId(uuid=str(uuid.UUID(int=numbers.getrandbits(128))))


def a_value(numbers: random.Random, depth: int = 0) -> api.Value:
    kind = numbers.randrange(5 if depth > 3 else 7)
    if kind == 0:
        return api.Value(null_value=api.NULL_VALUE)
    if kind == 1:
        return api.Value(integer_value=numbers.choice([0, -1, 2**63 - 1, -(2**63)]))
    if kind == 2:
        return api.Value(double_value=numbers.choice([0.0, -0.0, 1.0, numbers.gauss(0, 1e9)]))
    if kind == 3:
        return api.Value(bool_value=numbers.random() < 0.5)
    if kind == 4:
        return api.Value(string_value="ß" * numbers.choice([0, 1, 63, 64, 8191, 8192]))
    below = [a_value(numbers, depth + 1) for _ in range(numbers.randrange(4))]
    if kind == 5:
        return api.Value(list_value=api.ListValue(values=below))
    return api.Value(struct_value=api.Struct(fields={f"{index}": one for index, one in enumerate(below)}))


def a_vector(numbers: random.Random) -> api.VectorOutput:
    """In the form of 1.17 and later, or in the older one."""
    data = [numbers.gauss(0, 1) for _ in range(numbers.choice([1, 3, 64, 1536]))]
    return numbers.choice(
        [
            api.VectorOutput(dense=api.DenseVector(data=data)),
            api.VectorOutput(sparse=api.SparseVector(indices=range(len(data)), values=data)),
            api.VectorOutput(multi_dense=api.MultiDenseVector(vectors=[api.DenseVector(data=data)] * 3)),
            api.VectorOutput(data=data),
            api.VectorOutput(data=data, indices=api.SparseIndices(data=range(len(data)))),
            api.VectorOutput(data=data * 2, vectors_count=2),
        ]
    )


def some_vectors(numbers: random.Random) -> api.VectorsOutput:
    if numbers.random() < 0.4:
        return api.VectorsOutput(vector=a_vector(numbers))
    named = {f"vector {index}": a_vector(numbers) for index in range(numbers.randrange(4))}
    return api.VectorsOutput(vectors=api.NamedVectorsOutput(vectors=named))


def a_payload(numbers: random.Random) -> dict[str, api.Value]:
    keys = ["", "a", "größe", "k" * 127, "k" * 128, "k" * 20_000, *map(str, range(20))]
    return {key: a_value(numbers) for key in numbers.sample(keys, numbers.randrange(len(keys)))}


def a_point(numbers: random.Random) -> api.RetrievedPoint:
    point = api.RetrievedPoint(id=an_id(numbers), payload=a_payload(numbers))
    if numbers.random() < 0.9:
        point.vectors.CopyFrom(some_vectors(numbers))
    if numbers.random() < 0.5:
        point.shard_key.CopyFrom(
            numbers.choice([api.ShardKey(keyword="k" * numbers.choice([0, 5, 200])), api.ShardKey(number=7)])
        )
    if numbers.random() < 0.5:
        point.order_value.CopyFrom(numbers.choice([api.OrderValue(int=-5), api.OrderValue(float=1.5)]))
    return point


def as_point_struct(point: api.RetrievedPoint) -> api.PointStruct:
    """The oracle: what the typed classes make of it."""
    struct = api.PointStruct(id=point.id, payload=point.payload)
    if point.HasField("vectors"):
        struct.vectors.CopyFrom(api.Vectors.FromString(point.vectors.SerializeToString()))
    return struct
