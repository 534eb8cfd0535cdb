"""Vectors of every type."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence

import numpy as np
from pymilvus import DataType

from tests.support.milvus.samples.sample import (
    ALL,
    LITE,
    OLDER_LITE,
    STANDALONE,
    VECTOR,
    Field,
    Row,
    Sample,
    beside_a_vector,
    float32,
    vector_field,
)

FLAT = {"index_type": "FLAT", "metric_type": "L2"}
SPARSE = {"index_type": "SPARSE_INVERTED_INDEX", "metric_type": "IP"}


def bfloat16(numbers: Sequence[float]) -> bytes:
    """As pymilvus takes it; the numbers' lower halves are cut off."""
    return b"".join(struct.pack("<f", number)[2:] for number in numbers)


def dense(metric: str) -> Sample:
    rows: tuple[Row, ...] = tuple({"id": number, "vector": [number + 0.5, -1.0, 3.0e-5, 0.0]} for number in range(5))
    expected = tuple({**row, "vector": [float32(number) for number in row["vector"]]} for row in rows)
    return Sample(f"dense_{metric.lower()}", ALL, (vector_field(metric=metric),), rows, expected)


def float16(metric: str = "COSINE") -> Sample:
    vectors = [[0.5, -1.25, 65504.0, 6.0e-8], [0.0, -0.0, 1.0, 2.0]]
    halves = [np.array(vector, dtype=np.float16) for vector in vectors]
    index = {"index_type": "FLAT", "metric_type": metric}
    return Sample(
        f"float16_{metric.lower()}",
        frozenset({OLDER_LITE, STANDALONE}),
        (Field("half", DataType.FLOAT16_VECTOR, index, {"dim": 4}),),
        tuple({"id": number, "half": half} for number, half in enumerate(halves)),
        tuple({"id": number, "half": [float(each) for each in half]} for number, half in enumerate(halves)),
    )


def bfloat16_vectors() -> Sample:
    vectors = [[0.5, -1.25, 2.0**127, 2.0**-126], [0.0, -0.0, 1.0, 2.0]]
    return Sample(
        "bfloat16",
        frozenset({OLDER_LITE}),
        (Field("brain", DataType.BFLOAT16_VECTOR, FLAT, {"dim": 4}),),
        tuple({"id": number, "brain": bfloat16(vector)} for number, vector in enumerate(vectors)),
        tuple({"id": number, "brain": vector} for number, vector in enumerate(vectors)),
    )


def binary(metric: str) -> Sample:
    rows = tuple({"id": number, "bits": bytes([number, 0b10000001, 255])} for number in range(4))
    index = {"index_type": "BIN_FLAT", "metric_type": metric}
    bits = Field("bits", DataType.BINARY_VECTOR, index, {"dim": 24})
    return Sample(f"binary_{metric.lower()}", frozenset({OLDER_LITE, STANDALONE}), (bits,), rows, rows)


def sparse() -> Sample:
    vectors: list[dict[int, float]] = [{0: 0.5, 7: 1.25, 2**32 - 2: 2.0}, {3: 1.0}, {100_000: 0.25, 5: 4.0}]
    rows = tuple({"id": number, "sparse": vector} for number, vector in enumerate(vectors))
    field_ = Field("sparse", DataType.SPARSE_FLOAT_VECTOR, SPARSE)
    return Sample("sparse", frozenset({LITE, OLDER_LITE}), (field_,), rows, rows)


def sparse_odd() -> Sample:
    """No weight at all, a negative one, a zero that is said."""
    field_ = Field("sparse", DataType.SPARSE_FLOAT_VECTOR, SPARSE)
    vectors: list[dict[int, float]] = [{}, {1: -0.5}, {2: 0.0, 3: 1.0}]
    return beside_a_vector("sparse_odd", frozenset({OLDER_LITE}), [field_], [{"sparse": each} for each in vectors])


def several_vectors() -> Sample:
    """Two dense ones under different metrics, and a sparse one."""
    fields = (
        vector_field("title", "COSINE", 2),
        vector_field("body", "IP", 3),
        Field("words", DataType.SPARSE_FLOAT_VECTOR, SPARSE),
    )
    rows: tuple[Row, ...] = tuple(
        {"id": number, "title": [number, 1.0], "body": [0.5, number, -1.0], "words": {number: 1.5}}
        for number in range(3)
    )
    expected = tuple(
        {**row, "title": [float(each) for each in row["title"]], "body": [float(each) for each in row["body"]]}
        for row in rows
    )
    return Sample("several_vectors", frozenset({LITE, OLDER_LITE}), fields, rows, expected)


def every_vector() -> Sample:
    """A dense, a half-precision, a bfloat16, a binary and a sparse vector in one row."""
    fields = (
        vector_field(metric="COSINE"),
        Field("half", DataType.FLOAT16_VECTOR, FLAT, {"dim": 2}),
        Field("brain", DataType.BFLOAT16_VECTOR, FLAT, {"dim": 2}),
        Field("bits", DataType.BINARY_VECTOR, {"index_type": "BIN_FLAT", "metric_type": "HAMMING"}, {"dim": 16}),
        Field("words", DataType.SPARSE_FLOAT_VECTOR, SPARSE),
    )
    expected: tuple[Row, ...] = tuple(
        {
            "id": number,
            "vector": VECTOR,
            "half": [number + 0.5, -2.0],
            "brain": [-0.5, number * 2.0],
            "bits": bytes([number, 255]),
            "words": {number: 0.5},
        }
        for number in range(3)
    )
    rows = tuple(
        {**row, "half": np.array(row["half"], dtype=np.float16), "brain": bfloat16(row["brain"])} for row in expected
    )
    return Sample("every_vector", frozenset({OLDER_LITE}), fields, rows, expected)


def null_vectors() -> Sample:
    """A vector that is NULL; this server makes zeros of it, and its answer does not tell."""
    maybe = Field("maybe", DataType.FLOAT_VECTOR, FLAT, {"dim": 2, "nullable": True})
    vectors = [[0.5, -1.0], [0.0, 0.0]]
    return beside_a_vector(
        "null_vectors",
        frozenset({LITE}),
        [maybe],
        [{"maybe": [0.5, -1.0]}, {"maybe": None}],
        expected=[{"id": number, "vector": VECTOR, "maybe": vector} for number, vector in enumerate(vectors)],
        peculiar=True,
    )


def not_numbers_in_a_vector() -> Sample:
    rows = tuple(
        {"id": number, "vector": [value, 1.0, 2.0, 3.0]}
        for number, value in enumerate([math.nan, math.inf, -math.inf])
    )
    servers = frozenset({LITE, OLDER_LITE})
    return Sample("not_numbers_in_a_vector", servers, (vector_field(),), rows, rows)


VECTORS: tuple[Sample, ...] = (
    *(dense(metric) for metric in ("COSINE", "L2", "IP")),
    *(float16(metric) for metric in ("COSINE", "L2", "IP")),
    bfloat16_vectors(),
    *(binary(metric) for metric in ("HAMMING", "JACCARD")),
    sparse(),
    sparse_odd(),
    several_vectors(),
    every_vector(),
    null_vectors(),
    not_numbers_in_a_vector(),
)
