"""Describe what a collection's points depend on, as text: to tell at a migration's end what has changed since."""

from collections.abc import Iterable, Mapping

from qmig.qdrant import messages as api
from qmig.qdrant.enum_names import enum_name
from qmig.qdrant.keys import shard_key_text
from qmig.qdrant.payload_indexes import index_text
from qmig.qdrant.schema_diff import Vectors, comparator_name, datatype_name, vector_name
from qmig.qdrant.shard_keys import ShardKeyPlacement


def described_settings(info: api.CollectionInfo, shard_keys: Iterable[ShardKeyPlacement]) -> dict[str, str]:
    """Describe the vectors, the payload indexes and the shard keys of a collection: each by its name."""
    vectors = Vectors.of(info)
    dense = {vector_name(name): _dense(params) for name, params in vectors.dense.items()}
    sparse = {
        vector_name(name): f"sparse, modifier {enum_name(api.Modifier.DESCRIPTOR, params.modifier)}"
        for name, params in vectors.sparse.items()
    }
    indexes = {f"payload index {field!r}": index_text(schema) for field, schema in info.payload_schema.items()}
    keys = {f"shard key {shard_key_text(placement.shard_key)}": "" for placement in shard_keys}
    return {**dense, **sparse, **indexes, **keys}


def changed_settings(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Describe the difference between two results of `described_settings`; one line each."""
    lines = []
    for name in sorted({*before, *now}):
        if name not in before:
            lines.append(f"{name} was added")
        elif name not in now:
            lines.append(f"{name} was taken away")
        elif before[name] != now[name]:
            lines.append(f"{name} was {before[name]} and is {now[name]}")
    return lines


def _dense(params: api.VectorParams) -> str:
    distance = enum_name(api.Distance.DESCRIPTOR, params.distance)
    return f"size {params.size}, distance {distance}, {datatype_name(params.datatype)}, {comparator_name(params)}"
