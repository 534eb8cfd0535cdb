"""Map a Milvus schema to a Qdrant collection, and each field to a payload key or a vector.

Whatever cannot be mapped is found here, before anything is written.
"""

from dataclasses import dataclass, field
from typing import Any

from qmig.errors import TerminalError, UsageError
from qmig.formatting import command_option
from qmig.qdrant import messages as api
from qmig.sources.milvus.dropped import dropped_settings
from qmig.sources.milvus.indexing import dense_settings, payload_indexes
from qmig.sources.milvus.schema import INTEGERS, TEXTS, TYPES, Collection, Field
from qmig.sources.milvus.settings import Settings

METRICS = {
    "COSINE": api.Cosine,
    "L2": api.Euclid,
    "IP": api.Dot,
    "MAX_SIM": api.Cosine,
    "MAX_SIM_COSINE": api.Cosine,
    "MAX_SIM_IP": api.Dot,
    "MAX_SIM_L2": api.Euclid,
}
#: Distances by the names that --distance takes.
DISTANCES = {"cosine": api.Cosine, "dot": api.Dot, "euclid": api.Euclid, "manhattan": api.Manhattan}
DENSE = {TYPES.FloatVector, TYPES.Float16Vector, TYPES.BFloat16Vector, TYPES.Int8Vector, TYPES.BinaryVector}
SCALARS = INTEGERS | TEXTS | {TYPES.Bool, TYPES.Float, TYPES.Double, TYPES.JSON, TYPES.Geometry, TYPES.Timestamptz}
ARRAY_ELEMENTS = INTEGERS | TEXTS | {TYPES.Bool, TYPES.Float, TYPES.Double}
#: Numbers in one vector of a Qdrant.
MAX_DIMENSIONS = 65_536
#: Types of vectors in an array of structs that can become a multivector.
MULTI_ELEMENTS = DENSE - {TYPES.BinaryVector}


@dataclass
class FieldMapping:
    """The mapping of a collection's fields."""

    collection: Collection
    #: Settings of a Qdrant collection that can hold the rows.
    info: api.CollectionInfo
    #: Payload key of the primary key.
    id_field: str
    #: Payload key of the partition's name; None where the name is not kept.
    partition_field: str | None
    #: Fields that become payload, dense vectors, sparse vectors, and lists of objects with their multivectors.
    payload: list[Field] = field(default_factory=list)
    dense: list[Field] = field(default_factory=list)
    sparse: list[Field] = field(default_factory=list)
    structs: list[Field] = field(default_factory=list)
    table: list[tuple[str, str, str]] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)

    @property
    def output_fields(self) -> list[str]:
        """The fields that queries ask for."""
        return [one.name for one in (self.collection.key, *self.payload, *self.dense, *self.sparse, *self.structs)]

    @property
    def payload_names(self) -> dict[str, str]:
        """Payload keys by field; that of the partition's name is under the empty field name."""
        names = {one.name: one.name for one in (*self.payload, *self.structs) if not one.is_dynamic}
        names[self.collection.key.name] = self.id_field
        if self.partition_field is not None:
            names[""] = self.partition_field
        return names

    def distance(self, vector: str) -> int:
        """The distance of a dense vector or a multivector."""
        return self.info.config.params.vectors_config.params_map.map[vector].distance


def multi_name(struct: Field, member: Field) -> str:
    """The name of the multivector for a member of an array of structs: the one by which Milvus searches it."""
    return f"{struct.name}[{member.name}]"


def map_collection(collection: Collection, settings: Settings) -> FieldMapping:
    """Map every field; TerminalError names all that have no counterpart, UsageError a wrong option."""
    _check_names(collection, settings)
    mapping = FieldMapping(
        collection, api.CollectionInfo(), settings.id_field or collection.key.name, settings.partition_field
    )
    mapping.info.config.params.vectors_config.params_map.SetInParent()
    problems: list[str] = []
    for one in collection.fields:
        try:
            _map_field(mapping, one, settings)
        except ValueError as error:
            problems.append(str(error))
    if problems:
        raise TerminalError("; ".join(problems))
    _check_clashes(mapping)
    indexes, notices = payload_indexes(collection, set(settings.skip_fields), mapping.id_field)
    for name, index in indexes.items():
        mapping.info.payload_schema[name].CopyFrom(index)
    mapping.notices += [*notices, *dropped_settings(collection, set(settings.skip_fields))]
    return mapping


def _check_names(collection: Collection, settings: Settings) -> None:
    fields = {one.name: one for one in collection.fields}
    known = ", ".join(name for name in fields)
    for name in settings.skip_fields:
        if name not in fields:
            raise UsageError(
                f"{command_option('--skip-field', name)}: {collection.name!r} has no such field; it has {known}"
            )
        if fields[name].is_key:
            raise UsageError(
                f"{command_option('--skip-field', name)}: the primary key cannot be left out; --id-field renames it"
            )
    vectors = {one.name for one in fields.values() if one.type in DENSE}
    vectors |= {multi_name(one, member) for one in fields.values() for member in one.members if member.is_vector}
    for name, distance in settings.distances.items():
        if name not in vectors:
            has = ", ".join(sorted(vectors)) or "none"
            given = command_option("--distance", f"{name}={distance}")
            raise UsageError(f"{given}: no such vector field; {collection.name!r} has {has}")
    if settings.partition_field is not None and (key := collection.partition_key):
        given = command_option("--partition-field", settings.partition_field)
        raise UsageError(
            f"{given}: {collection.name!r} spreads its rows over partitions by "
            f"the partition key {key.name!r}, which is in the payload already; leave the option out"
        )


def _check_clashes(mapping: FieldMapping) -> None:
    seen: dict[str, str] = {}
    for name, key in mapping.payload_names.items():
        what = "the partition's name" if not name else f"field {name!r}"
        if key in seen:
            raise UsageError(
                f"{seen[key]} and {what} would both be {key!r} in the payload; change --id-field or --partition-field"
            )
        seen[key] = what


def _map_field(mapping: FieldMapping, one: Field, settings: Settings) -> None:
    """Map one field; ValueError where it has no counterpart."""
    skip = f"leave it out with {command_option('--skip-field', one.name)}"
    if one.name in settings.skip_fields:
        becomes = "left out: --skip-field"
    elif one.is_key:
        becomes = _describe_key(one, mapping.id_field)
    elif one.type == TYPES.SparseFloatVector:
        becomes = _map_sparse(mapping, one)
    elif one.type in DENSE:
        becomes = _map_dense(mapping, one, settings)
    elif one.type == TYPES.ArrayOfStruct:
        becomes = _map_struct(mapping, one, settings)
    elif one.type == TYPES.Array and one.element_type in ARRAY_ELEMENTS:
        mapping.payload.append(one)
        becomes = "payload, a list"
    elif one.type in SCALARS:
        mapping.payload.append(one)
        becomes = "payload, its keys at the top level" if one.is_dynamic else _describe_scalar(one)
    else:
        raise ValueError(f"field {one.name!r} is of type {one.type_name}, which has no counterpart in Qdrant; {skip}")
    mapping.table.append((one.name, one.type_name, becomes))


def _describe_key(key: Field, id_field: str) -> str:
    number = "the point's number, a UUIDv5 below 0" if key.type == TYPES.Int64 else "the point's UUID, else a UUIDv5"
    return f"{number}; payload {id_field!r}"


def _describe_scalar(one: Field) -> str:
    return "payload, as text" if one.type in (TYPES.Geometry, TYPES.Timestamptz) else "payload"


def _map_sparse(mapping: FieldMapping, one: Field) -> str:
    if one.made_by:
        makers = [function for function in mapping.collection.functions if function.name == one.made_by]
        inputs = ", ".join(repr(name) for function in makers for name in function.inputs)
        mapping.notices.append(
            f"sparse vector {one.name!r} is left out: Milvus computes it itself ({one.made_by}), and returns no "
            f"vectors for BM25; the text{f' in {inputs}' if inputs else ''} is copied"
        )
        return "left out: Milvus computes it from a text"
    mapping.sparse.append(one)
    mapping.info.config.params.sparse_vectors_config.map[one.name].SetInParent()
    return "sparse vector"


def _map_dense(mapping: FieldMapping, one: Field, settings: Settings) -> str:
    if one.dim > MAX_DIMENSIONS:
        skip = command_option("--skip-field", one.name)
        raise ValueError(
            f"vector field {one.name!r} has {one.dim:,} dimensions, and Qdrant takes at most {MAX_DIMENSIONS:,}; "
            f"leave it out with {skip}"
        )
    params = mapping.info.config.params.vectors_config.params_map.map[one.name]
    params.size = one.dim
    params.distance = _distance(one, one.name, settings)
    if one.type == TYPES.Float16Vector:
        params.datatype = api.Datatype.Float16
    elif one.type == TYPES.BinaryVector:
        params.datatype = api.Datatype.Uint8
    mapping.dense.append(one)
    mapping.notices += dense_settings(mapping.collection, one, params)
    if one.nullable:
        mapping.notices.append(
            f"vector {one.name!r} may be null: such points are copied without it (Milvus Lite returns zeros "
            "instead of null)"
        )
    if params.distance == api.Cosine:
        mapping.notices.append(
            f"vector {one.name!r} is under cosine distance: Qdrant normalises it, so its length is not kept"
        )
    datatype = api.Datatype.Name(params.datatype).lower() if params.datatype else "float32"
    return f"dense vector, {one.dim}-d {api.Distance.Name(params.distance)}, {datatype}"


def _map_struct(mapping: FieldMapping, one: Field, settings: Settings) -> str:
    names = []
    for member in one.members:
        full = multi_name(one, member)
        if member.type == TYPES.ArrayOfVector and member.element_type in MULTI_ELEMENTS:
            params = mapping.info.config.params.vectors_config.params_map.map[full]
            params.size = member.dim
            params.distance = _distance(member, full, settings)
            params.multivector_config.comparator = api.MaxSim
            names.append(full)
        elif member.type != TYPES.Array or member.element_type not in ARRAY_ELEMENTS:
            raise ValueError(
                f"field {full!r} is of type {member.type_name}, which has no counterpart in Qdrant; leave the "
                f"whole array out with {command_option('--skip-field', one.name)}"
            )
    mapping.structs.append(one)
    return f"payload, a list of objects; multivectors {', '.join(names) or 'none'}"


def _distance(one: Field, name: str, settings: Settings) -> Any:
    """The distance that the command gives, or that of the index."""
    if wanted := settings.distances.get(name):
        return DISTANCES[wanted]
    metric = one.index.metric.upper() if one.index else ""
    what = f"vector field {name!r} of type {one.type_name}"
    # A member of an array of structs is left out with the whole array.
    skip = f"leave it out with {command_option('--skip-field', name.removesuffix(f'[{one.name}]'))}"
    give = f"give {command_option('--distance', f'{name}=cosine')}, or dot, euclid or manhattan"
    if not metric:
        raise ValueError(f"{what} has no index, so its metric is not known; {give}")
    if one.type == TYPES.BinaryVector:
        if metric != "HAMMING":
            raise ValueError(f"{what} is under {metric}, which Qdrant does not have; {skip}")
        return api.Manhattan
    if metric not in METRICS:
        raise ValueError(f"{what} is under {metric}, which Qdrant does not have; {give} or {skip}")
    return METRICS[metric]
