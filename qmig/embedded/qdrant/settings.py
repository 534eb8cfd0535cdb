"""A collection's settings: a real server's defaults, updates, and what the storage engine needs of them."""

from __future__ import annotations

from typing import Any

import qdrant_edge as edge
from google.protobuf.message import Message

from qmig.embedded.qdrant.refusals import bad_input, invalid, unserved
from qmig.qdrant import messages as api

DISTANCES = {
    api.Cosine: edge.Distance.Cosine,
    api.Euclid: edge.Distance.Euclid,
    api.Dot: edge.Distance.Dot,
    api.Manhattan: edge.Distance.Manhattan,
}
DATATYPES = {
    api.Default: None,
    api.Float32: edge.VectorStorageDatatype.Float32,
    api.Float16: edge.VectorStorageDatatype.Float16,
    api.Uint8: edge.VectorStorageDatatype.Uint8,
}
MAX_SIZE = 65536
#: Name of an unused vector in a collection without vectors: the engine needs at least one.
NO_VECTORS = edge.EdgeSparseVectorParams()


def new_config(request: api.CreateCollection) -> api.CollectionConfig:
    """The settings of a new collection: what the request gives, else the defaults of Qdrant 1.18."""
    config = api.CollectionConfig(
        params=api.CollectionParams(
            shard_number=1,
            on_disk_payload=True,
            replication_factor=1,
            write_consistency_factor=1,
            vectors_config=api.VectorsConfig(params_map=api.VectorParamsMap()),
        ),
        hnsw_config=api.HnswConfigDiff(
            m=16, ef_construct=100, full_scan_threshold=10000, max_indexing_threads=0, on_disk=False
        ),
        optimizer_config=api.OptimizersConfigDiff(
            deleted_threshold=0.2,
            vacuum_min_vector_number=1000,
            default_segment_number=0,
            indexing_threshold=10000,
            flush_interval_sec=5,
            max_optimization_threads=api.MaxOptimizationThreads(setting=api.MaxOptimizationThreads.Auto),
        ),
        wal_config=api.WalConfigDiff(wal_capacity_mb=32, wal_segments_ahead=0, wal_retain_closed=1),
    )
    merge_params(
        config.params,
        request,
        "shard_number",
        "on_disk_payload",
        "replication_factor",
        "write_consistency_factor",
        "sharding_method",
        "payload",
        "id_tracker",
    )
    if request.HasField("vectors_config") and request.vectors_config.WhichOneof("config"):
        config.params.vectors_config.CopyFrom(request.vectors_config)
    if request.HasField("sparse_vectors_config"):
        config.params.sparse_vectors_config.CopyFrom(request.sparse_vectors_config)
    config.hnsw_config.MergeFrom(request.hnsw_config)
    merge_optimizers(config, request.optimizers_config)
    config.wal_config.MergeFrom(request.wal_config)
    if request.HasField("quantization_config"):
        config.quantization_config.CopyFrom(request.quantization_config)
    if request.HasField("strict_mode_config"):
        config.strict_mode_config.CopyFrom(request.strict_mode_config)
    for key, value in request.metadata.items():
        config.metadata[key].CopyFrom(value)
    for name in ("shard_number", "replication_factor", "write_consistency_factor"):
        if getattr(config.params, name) == 0:
            raise invalid(f"Validation error in body: [{name}: value 0 invalid, must be 1 or larger]")
    return config


def merge_params(params: api.CollectionParams, request: Any, *names: str) -> None:
    for name in names:
        if request.HasField(name):
            value = getattr(request, name)
            if isinstance(value, Message):
                getattr(params, name).CopyFrom(value)
            else:
                setattr(params, name, value)


def merge_optimizers(config: api.CollectionConfig, diff: api.OptimizersConfigDiff) -> None:
    """Apply what `diff` sets; the older and the newer field for the optimizers' threads are set together."""
    merged = config.optimizer_config
    merged.MergeFrom(diff)
    threads = diff.max_optimization_threads
    if threads.HasField("value"):
        merged.deprecated_max_optimization_threads = threads.value
    elif threads.HasField("setting"):
        merged.ClearField("deprecated_max_optimization_threads")
    elif diff.HasField("deprecated_max_optimization_threads"):
        merged.max_optimization_threads.value = diff.deprecated_max_optimization_threads


def merge_metadata(config: api.CollectionConfig, metadata: Any) -> None:
    """Set the given keys; a null removes a key."""
    for key, value in metadata.items():
        if value.WhichOneof("kind") in (None, "null_value"):
            config.metadata.pop(key, None)
        else:
            config.metadata[key].CopyFrom(value)


def update_config(config: api.CollectionConfig, request: api.UpdateCollection) -> None:
    """Apply what an update sets."""
    merge_optimizers(config, request.optimizers_config)
    merge_params(
        config.params,
        request.params,
        "replication_factor",
        "write_consistency_factor",
        "on_disk_payload",
        "read_fan_out_factor",
        "read_fan_out_delay_ms",
        "payload",
        "id_tracker",
    )
    config.hnsw_config.MergeFrom(request.hnsw_config)
    for name, diff in vector_diffs(request.vectors_config).items():
        update_vector(vector_params(config.params, name), diff)
    if request.HasField("quantization_config"):
        update_quantization(config, request.quantization_config)
    for name, params in request.sparse_vectors_config.map.items():
        if name not in config.params.sparse_vectors_config.map:
            raise bad_input(f"Not existing vector name error: {name}")
        config.params.sparse_vectors_config.map[name].MergeFrom(params)
    if request.HasField("strict_mode_config"):
        config.strict_mode_config.MergeFrom(request.strict_mode_config)
    merge_metadata(config, request.metadata)


def vector_diffs(diff: api.VectorsConfigDiff) -> dict[str, api.VectorParamsDiff]:
    if diff.WhichOneof("config") == "params":
        return {"": diff.params}
    return dict(diff.params_map.map)


def vector_params(params: api.CollectionParams, name: str) -> api.VectorParams:
    vectors = params.vectors_config
    if name == "" and vectors.WhichOneof("config") == "params":
        return vectors.params
    if name in vectors.params_map.map:
        return vectors.params_map.map[name]
    raise bad_input(f"Not existing vector name error: {name}")


def update_vector(params: api.VectorParams, diff: api.VectorParamsDiff) -> None:
    if diff.HasField("hnsw_config"):
        if diff.hnsw_config.ListFields():
            params.hnsw_config.MergeFrom(diff.hnsw_config)
        else:
            params.ClearField("hnsw_config")
    if diff.HasField("quantization_config"):
        update_quantization(params, diff.quantization_config)
    for name in ("on_disk", "memory"):
        if diff.HasField(name):
            setattr(params, name, getattr(diff, name))


def update_quantization(holder: Any, diff: api.QuantizationConfigDiff) -> None:
    kind = diff.WhichOneof("quantization")
    if kind is None:
        raise invalid("Unable to convert quantization config")
    if kind == "disabled":
        holder.ClearField("quantization_config")
    else:
        holder.quantization_config.CopyFrom(api.QuantizationConfig(**{kind: getattr(diff, kind)}))


def smaller_is_nearer(params: api.CollectionParams, name: str) -> bool:
    """Whether a vector's scores are distances, smallest first, instead of similarities."""
    if name in params.sparse_vectors_config.map:
        return False
    return vector_params(params, name).distance in (api.Euclid, api.Manhattan)


def engine_config(params: api.CollectionParams) -> edge.EdgeConfig:
    """The engine's configuration: the vectors. It has no HNSW index and does not quantize: searches are exact."""
    vectors = params.vectors_config
    if vectors.WhichOneof("config") == "params":
        dense = {"": engine_vector(vectors.params)}
    else:
        dense = {name: engine_vector(vector) for name, vector in vectors.params_map.map.items()}
    sparse = {name: engine_sparse(vector) for name, vector in params.sparse_vectors_config.map.items()}
    if not dense and not sparse:
        sparse = {"-": NO_VECTORS}
    return edge.EdgeConfig(vectors=dense, sparse_vectors=sparse, max_search_threads=1)


def engine_vector(params: api.VectorParams) -> edge.EdgeVectorParams:
    if not 1 <= params.size <= MAX_SIZE:
        raise invalid(
            f"Validation error in body: [vectors_config.config.size: value {params.size} invalid, "
            f"must be from 1 to {MAX_SIZE}]"
        )
    if params.distance not in DISTANCES:
        raise invalid(f"Malformed distance parameter: {api.Distance.Name(params.distance)}")
    multivector = None
    if params.HasField("multivector_config"):
        multivector = edge.MultiVectorConfig(edge.MultiVectorComparator.MaxSim)
    return edge.EdgeVectorParams(
        params.size,
        DISTANCES[params.distance],
        multivector_config=multivector,
        datatype=engine_datatype(params.datatype),
    )


def engine_sparse(params: api.SparseVectorParams) -> edge.EdgeSparseVectorParams:
    return edge.EdgeSparseVectorParams(
        modifier=edge.Modifier.Idf if params.modifier == api.Idf else None,
        datatype=engine_datatype(params.index.datatype),
    )


def engine_datatype(datatype: Any) -> edge.VectorStorageDatatype | None:
    if datatype not in DATATYPES:
        raise unserved(f"vectors of the datatype {api.Datatype.Name(datatype)}")
    return DATATYPES[datatype]
