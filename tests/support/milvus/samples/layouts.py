"""Partitions, indexes and functions."""

from __future__ import annotations

from typing import Any

from pymilvus import DataType, Function, FunctionType

from tests.support.milvus.samples.fields import LEAST, SCALARS, SMALL
from tests.support.milvus.samples.sample import (
    ALL,
    BEYOND_DOUBLE,
    LITE,
    OLDER_LITE,
    STANDALONE,
    Field,
    Sample,
    beside_a_vector,
)


def partitions() -> Sample:
    """Three partitions; `partition` of a row names its own."""
    names = ["_default", "north", "south_2", "north", "_default", "south_2"]
    fields = [Field("partition", DataType.VARCHAR, None, {"max_length": 20})]
    rows = [{"partition": name} for name in names]
    servers = frozenset({LITE, STANDALONE})
    return beside_a_vector("partitions", servers, fields, rows, partition_field="partition")


def partition_key(kind: DataType) -> Sample:
    length = {"max_length": 20} if kind is DataType.VARCHAR else {}
    tenants: list[Any] = ["a", "b", "é"] if kind is DataType.VARCHAR else [-1, 0, BEYOND_DOUBLE]
    return beside_a_vector(
        f"partition_key_{kind.name.lower()}",
        frozenset({LITE, STANDALONE}),
        [Field("tenant", kind, None, {"is_partition_key": True, **length})],
        [{"tenant": tenants[number % 3]} for number in range(9)],
        options={"num_partitions": 4},
    )


def scalar_indexes() -> Sample:
    """INVERTED, the one type that both Lite servers know."""
    fields = [
        Field(each.name, each.type, {"index_type": "INVERTED"}, each.params)
        for each in SCALARS
        if each.name in {"bool", "int64", "double", "varchar"}
    ]
    rows = [{each.name: row[each.name] for each in fields} for row in (LEAST, SMALL)]
    return beside_a_vector("scalar_indexes", frozenset({LITE, OLDER_LITE}), fields, rows)


def scalar_indexes_of_2_3() -> Sample:
    """STL_SORT and Trie."""
    fields = [
        Field("int64", DataType.INT64, {"index_type": "STL_SORT"}),
        Field("varchar", DataType.VARCHAR, {"index_type": "Trie"}, {"max_length": 200}),
    ]
    rows = [{each.name: row[each.name] for each in fields} for row in (LEAST, SMALL)]
    return beside_a_vector("scalar_indexes_of_2_3", frozenset({STANDALONE}), fields, rows)


def vector_index(index_type: str, **params: int) -> Sample:
    """A dense vector under an index of this type; `describe_index` of Milvus Lite 3.2 drops the parameters."""
    servers = frozenset({LITE, STANDALONE} | ({OLDER_LITE} if index_type in {"IVF_FLAT", "AUTOINDEX"} else set()))
    index = {"index_type": index_type, "metric_type": "L2", "params": params}
    rows = tuple({"id": number, "vector": [float(number), 1.0, 2.0, 3.0]} for number in range(3))
    vector = Field("vector", DataType.FLOAT_VECTOR, index, {"dim": 4})
    return Sample(f"index_{index_type.lower()}", servers, (vector,), rows, rows)


def text_match() -> Sample:
    """A VARCHAR whose words can be matched, or so its parameters say."""
    params = {"max_length": 100, "enable_analyzer": True, "enable_match": True}
    words = Field("text", DataType.VARCHAR, None, params)
    return beside_a_vector("text_match", ALL, [words], [{"text": "the quick fox"}])


def bm25() -> Sample:
    """A sparse vector that the server makes of a text. What can be read of it differs, and is not expected."""
    fields = [
        Field("text", DataType.VARCHAR, None, {"max_length": 100, "enable_analyzer": True}),
        Field(
            "words",
            DataType.SPARSE_FLOAT_VECTOR,
            {"index_type": "SPARSE_INVERTED_INDEX", "metric_type": "BM25"},
        ),
    ]
    function = Function("bm25", FunctionType.BM25, input_field_names=["text"], output_field_names=["words"])
    return beside_a_vector(
        "bm25",
        frozenset({LITE, OLDER_LITE}),
        fields,
        [{"text": "the quick fox"}, {"text": "the lazy dog"}],
        functions=(function,),
        output=("id", "vector", "text"),
    )


LAYOUTS: tuple[Sample, ...] = (
    partitions(),
    partition_key(DataType.VARCHAR),
    partition_key(DataType.INT64),
    scalar_indexes(),
    scalar_indexes_of_2_3(),
    vector_index("HNSW", M=12, efConstruction=77),
    vector_index("IVF_FLAT", nlist=16),
    vector_index("IVF_SQ8", nlist=16),
    vector_index("IVF_PQ", nlist=16, m=2, nbits=8),
    vector_index("SCANN", nlist=16),
    vector_index("DISKANN"),
    vector_index("AUTOINDEX"),
    text_match(),
    bm25(),
)
