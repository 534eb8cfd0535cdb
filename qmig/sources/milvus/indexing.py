"""Map Milvus' indexes to Qdrant's: the nearest settings for vectors, payload indexes for scalar fields."""

import json
from typing import Any

from qmig.qdrant import messages as api
from qmig.sources.milvus.schema import INTEGERS, TEXTS, TYPES, Collection, Field, Index, whole_number

#: Types of vector indexes without a setting in Qdrant.
PLAIN = {"", "AUTOINDEX", "HNSW", "DISKANN", "IVF_RABITQ", "SCANN", "GPU_CAGRA"}
EXACT = {"FLAT", "BIN_FLAT", "GPU_BRUTE_FORCE"}
HNSW_PARAMS = {"M": "m", "efConstruction": "ef_construct"}
#: The smallest values that Qdrant takes; 0 would switch the index off.
LEAST = {"m": 1, "ef_construct": 4}
#: Parameters that the quantization is derived from.
QUANTIZATION_PARAMS = {"m", "nbits", "sq_type", "refine", "refine_type"}
#: Settings of one server or one search, which are not copied.
SILENT = {"mmap.enabled", "index.offset_cache.enabled", "dim", "warmup"}
#: Compression of a product quantization, by the ratio of a vector's bytes to those of its code.
COMPRESSIONS = {4: api.x4, 8: api.x8, 16: api.x16, 32: api.x32, 64: api.x64}
CASTS = {
    "BOOL": api.PayloadSchemaType.Bool,
    "DOUBLE": api.PayloadSchemaType.Float,
    "VARCHAR": api.PayloadSchemaType.Keyword,
}


def dense_settings(collection: Collection, one: Field, params: api.VectorParams) -> list[str]:
    """Set what is nearest to the field's index; returns one line for each setting without a counterpart."""
    index = one.index
    notices: list[str] = []
    if _on_disk(collection, one):
        params.on_disk = True
    if index is None:
        return notices
    kind = index.type.upper()
    unused = index.params.keys() - SILENT - QUANTIZATION_PARAMS
    for theirs, ours in HNSW_PARAMS.items():
        if (value := whole_number(index.params.get(theirs, ""))) is not None and value >= LEAST[ours]:
            setattr(params.hnsw_config, ours, value)
            unused -= {theirs}
    if kind == "DISKANN":
        params.on_disk = True
        params.hnsw_config.on_disk = True
    _set_quantization(one, index, params)
    where = f"index {kind} of vector {one.name!r}"
    if kind in EXACT:
        notices.append(f"{where} searches exactly: Qdrant builds an HNSW index, and a search may ask for `exact`")
    elif not kind.startswith("HNSW") and kind not in PLAIN | {"IVF_PQ", "IVF_SQ8"}:
        notices.append(f"{where} has no counterpart: Qdrant builds an HNSW index of its default settings")
    elif kind not in ("", "AUTOINDEX", "HNSW"):
        quantized = params.quantization_config.WhichOneof("quantization")
        what = f"HNSW with {quantized} quantization" if quantized else "HNSW"
        notices.append(f"{where} becomes {what}{' on disk' if params.on_disk else ''}, the nearest setting in Qdrant")
    if unused and kind not in EXACT:
        unknown = ", ".join(f"{key}={index.params[key]}" for key in sorted(unused))
        notices.append(f"{where}: {unknown} has no counterpart")
    return notices


def _set_quantization(one: Field, index: Index, params: api.VectorParams) -> None:
    kind, quantization = index.type.upper(), params.quantization_config
    scalar_kind = index.params.get("sq_type", "SQ8").upper()
    if kind in ("IVF_SQ8", "SCANN") or (kind == "HNSW_SQ" and scalar_kind in ("SQ8", "SQ6", "SQ4U")):
        quantization.scalar.type = api.QuantizationType.Int8
    elif kind == "HNSW_SQ" and scalar_kind == "FP16" and one.type == TYPES.FloatVector:
        params.datatype = api.Datatype.Float32
    elif kind in ("IVF_PQ", "HNSW_PQ", "HNSW_PRQ"):
        codes, bits = whole_number(index.params.get("m", "")), whole_number(index.params.get("nbits", ""))
        code = (codes or 0) * (bits or 8) / 8
        ratio = 4 * one.dim / code if code else 16
        quantization.product.compression = COMPRESSIONS[min(COMPRESSIONS, key=lambda known: abs(known - ratio))]
    elif kind == "IVF_RABITQ":
        quantization.binary.SetInParent()


def _on_disk(collection: Collection, one: Field) -> bool:
    """Whether vectors are read from disk: mmap is set on the index, the field or the collection."""
    holders = [one.index.params if one.index else {}, one.params, collection.properties]
    return next((held["mmap.enabled"].lower() == "true" for held in holders if "mmap.enabled" in held), False)


def payload_indexes(
    collection: Collection, skipped: set[str], id_field: str
) -> tuple[dict[str, api.PayloadSchemaInfo], list[str]]:
    """Map scalar indexes to payload indexes by payload key; also one line for each without a counterpart."""
    found: dict[str, api.PayloadSchemaInfo] = {}
    notices: list[str] = []
    for one in collection.fields:
        if one.is_vector or one.members or one.name in skipped:
            continue
        name = id_field if one.is_key else one.name
        if one.is_partition_key:
            found[name] = _tenant(one)
            if one.type in INTEGERS:
                notices.append(
                    f"partition key {one.name!r} is an integer: it gets an index, and is_tenant is for strings alone"
                )
        elif one.params.get("enable_match", "").lower() == "true":
            found[name] = _text(one)
            if one.indexes:
                notices.append(
                    f"field {one.name!r} has text match and an index {one.indexes[0].type}: a payload key has one "
                    "index in Qdrant, and the text index is made"
                )
        elif one.type == TYPES.JSON:
            for index in one.indexes:
                _json_index(one, index, found, notices)
        elif one.indexes:
            kind = _schema_type(one.element_type or one.type)
            if kind is None:
                notices.append(f"the index of field {one.name!r} of type {one.type_name} has no counterpart")
            else:
                found[name] = api.PayloadSchemaInfo(data_type=kind)
    return found, notices


def _schema_type(kind: int) -> Any:
    """The type of payload index for a field; None where there is none."""
    if kind in INTEGERS:
        return api.PayloadSchemaType.Integer
    if kind in TEXTS:
        return api.PayloadSchemaType.Keyword
    return {
        TYPES.Bool: api.PayloadSchemaType.Bool,
        TYPES.Float: api.PayloadSchemaType.Float,
        TYPES.Double: api.PayloadSchemaType.Float,
        TYPES.Timestamptz: api.PayloadSchemaType.Datetime,
    }.get(kind)


def _tenant(one: Field) -> api.PayloadSchemaInfo:
    if one.type in INTEGERS:
        return api.PayloadSchemaInfo(data_type=api.PayloadSchemaType.Integer)
    info = api.PayloadSchemaInfo(data_type=api.PayloadSchemaType.Keyword)
    info.params.keyword_index_params.is_tenant = True
    return info


def _text(one: Field) -> api.PayloadSchemaInfo:
    info = api.PayloadSchemaInfo(data_type=api.PayloadSchemaType.Text)
    text = info.params.text_index_params
    analyzer: Any = {}
    try:
        analyzer = json.loads(one.params.get("analyzer_params", "{}"))
    except ValueError:
        analyzer = {}
    tokenizer = analyzer.get("tokenizer") if isinstance(analyzer, dict) else None
    kinds = {"whitespace": api.TokenizerType.Whitespace, "jieba": api.TokenizerType.Multilingual}
    text.tokenizer = kinds.get(str(tokenizer), api.TokenizerType.Word)
    text.lowercase = True
    return info


def _json_index(one: Field, index: Index, found: dict[str, api.PayloadSchemaInfo], notices: list[str]) -> None:
    """Map an index on a path in JSON: `field["a"]["b"]` becomes `field.a.b`."""
    path, cast = index.params.get("json_path", ""), index.params.get("json_cast_type", "").upper()
    keys = [partition.strip("\"' ") for partition in path.replace("]", "").split("[")]
    kind = CASTS.get(cast.removeprefix("ARRAY_"))
    if one.is_dynamic and keys and keys[0] == one.name:
        del keys[0]
    if not path or kind is None or any(not key or "." in key or "/" in key for key in keys):
        notices.append(f"index {index.type} of field {one.name!r} on {path or 'all of it'} has no counterpart")
        return
    found[".".join(keys)] = api.PayloadSchemaInfo(data_type=kind)
