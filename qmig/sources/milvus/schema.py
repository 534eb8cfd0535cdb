"""Read the schema of a Milvus collection: fields, indexes and functions, as its server describes them."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from qmig.errors import NotFoundError, TerminalError
from qmig.qdrant.collection import close_names
from qmig.sources.milvus.connection import MilvusConnection
from qmig.sources.milvus.messages import common, milvus, schema

TYPES = schema.DataType
INTEGERS = {TYPES.Int8, TYPES.Int16, TYPES.Int32, TYPES.Int64}
TEXTS = {TYPES.VarChar, TYPES.String, TYPES.Text}
DYNAMIC = "$meta"


@dataclass(frozen=True)
class Index:
    """An index of a field: its type, metric and parameters, all as text."""

    type: str
    metric: str = ""
    params: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Field:
    """One field of a collection."""

    name: str
    type: int
    element_type: int = 0
    params: Mapping[str, str] = field(default_factory=dict)
    nullable: bool = False
    is_key: bool = False
    is_partition_key: bool = False
    is_dynamic: bool = False
    is_clustering_key: bool = False
    #: Whether Milvus chooses the keys.
    auto_id: bool = False
    has_default: bool = False
    description: str = ""
    #: Name of the function that makes the field; empty where rows hold it.
    made_by: str = ""
    indexes: tuple[Index, ...] = ()
    #: Members of an array of structs.
    members: tuple["Field", ...] = ()

    @property
    def dim(self) -> int:
        return whole_number(self.params.get("dim", "0")) or 0

    @property
    def type_name(self) -> str:
        """The type as Milvus spells it, `Array<Int64>` for an array."""
        name = _type_name(self.type)
        return f"{name}<{_type_name(self.element_type)}>" if self.element_type else name

    @property
    def is_vector(self) -> bool:
        return self.type >= TYPES.BinaryVector and self.type <= TYPES.ArrayOfVector

    @property
    def index(self) -> Index | None:
        return self.indexes[0] if self.indexes else None


@dataclass(frozen=True)
class Function:
    """A function that makes fields out of other fields."""

    name: str
    type: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class Collection:
    """One collection as it is described. The dynamic field, if there is one, is the last."""

    name: str
    fields: tuple[Field, ...]
    functions: tuple[Function, ...] = ()
    properties: Mapping[str, str] = field(default_factory=dict)
    #: The default consistency level of its reads, such as `Bounded`; empty where it is not known.
    consistency: str = ""
    shards: int = 1
    aliases: tuple[str, ...] = ()
    description: str = ""
    #: The server's id of the collection; 0 where it gives none.
    id: int = 0

    @property
    def key(self) -> Field:
        return next(one for one in self.fields if one.is_key)

    @property
    def partition_key(self) -> Field | None:
        return next((one for one in self.fields if one.is_partition_key), None)


def describe(server: MilvusConnection, name: str) -> Collection:
    """Describe the collection `name`; TerminalError where it does not exist."""
    request = milvus.DescribeCollectionRequest(collection_name=name)
    try:
        answer = server.ask("DescribeCollection", request, milvus.DescribeCollectionResponse)
    except NotFoundError:
        close = close_names(name, _collection_names(server))
        raise TerminalError(
            f"source {server.endpoint.url} has no collection {name!r}{close}; check --source-collection and "
            "--source-database"
        ) from None
    return collection_of(answer, _indexes(server, name))


def collection_of(answer: milvus.DescribeCollectionResponse, indexes: Mapping[str, tuple[Index, ...]]) -> Collection:
    """Build a collection from the messages that describe it; `indexes` are by field."""
    functions = tuple(
        Function(
            one.name,
            schema.FunctionType.Name(one.type) if one.type in schema.FunctionType.values() else str(one.type),
            tuple(one.input_field_names),
            tuple(one.output_field_names),
        )
        for one in answer.schema.functions
    )
    made_by = {output: one.name for one in functions for output in one.outputs}
    fields = [_field(one, indexes, made_by) for one in answer.schema.fields if one.name != DYNAMIC]
    for struct in answer.schema.struct_array_fields:
        members = tuple(_field(member, indexes, made_by, f"{struct.name}[") for member in struct.fields)
        fields.append(Field(struct.name, TYPES.ArrayOfStruct, nullable=struct.nullable, members=members))
    if answer.schema.enable_dynamic_field:
        fields.append(Field(DYNAMIC, TYPES.JSON, is_dynamic=True, indexes=indexes.get(DYNAMIC, ())))
    properties = _pairs([*answer.schema.properties, *answer.properties])
    level = common.ConsistencyLevel.DESCRIPTOR.values_by_number.get(answer.consistency_level)
    return Collection(
        answer.collection_name or answer.schema.name,
        tuple(fields),
        functions,
        properties,
        consistency=level.name if level else "",
        shards=answer.shards_num or 1,
        aliases=tuple(sorted(answer.aliases)),
        description=answer.schema.description,
        id=answer.collectionID,
    )


def _collection_names(server: MilvusConnection) -> list[str]:
    request = milvus.ShowCollectionsRequest()
    return list(server.ask("ShowCollections", request, milvus.ShowCollectionsResponse).collection_names)


def _indexes(server: MilvusConnection, name: str) -> dict[str, tuple[Index, ...]]:
    """The indexes by field; a collection without any is an error to the server, and none here."""
    request = milvus.DescribeIndexRequest(collection_name=name)
    try:
        answer = server.ask("DescribeIndex", request, milvus.DescribeIndexResponse)
    except TerminalError:
        return {}
    found: dict[str, tuple[Index, ...]] = {}
    for one in answer.index_descriptions:
        params = _pairs(one.params)
        # Some servers return the parameters by name, some as JSON under `params`.
        nested = _object(params.pop("params", ""))
        params = {**{key: str(value) for key, value in nested.items()}, **params}
        index = Index(params.pop("index_type", ""), params.pop("metric_type", ""), params)
        found[one.field_name] = (*found.get(one.field_name, ()), index)
    return found


def _field(
    one: schema.FieldSchema,
    indexes: Mapping[str, tuple[Index, ...]],
    made_by: Mapping[str, str],
    prefix: str = "",
) -> Field:
    # A member of a struct may come as `struct[member]`; its own name is the one in the brackets.
    name = one.name.removeprefix(prefix).removesuffix("]") if prefix and one.name.startswith(prefix) else one.name
    full = f"{prefix}{name}]" if prefix else name
    return Field(
        name=name,
        type=one.data_type,
        element_type=one.element_type,
        params={**_pairs(one.type_params), **_pairs(one.index_params)},
        nullable=one.nullable,
        is_key=one.is_primary_key,
        is_partition_key=one.is_partition_key,
        is_clustering_key=one.is_clustering_key,
        auto_id=one.autoID,
        has_default=one.HasField("default_value"),
        description=one.description,
        # Milvus Lite 2.5 marks the output of a function, but does not name the function.
        made_by=made_by.get(name, "a function" if one.is_function_output else ""),
        indexes=indexes.get(full, ()),
    )


def whole_number(text: str) -> int | None:
    """Read a parameter such as `16`, `16.0` or `AUTO`; None where it is no whole number from 0 on."""
    try:
        value = float(text)
    except ValueError:
        return None
    return int(value) if value.is_integer() and 0 <= value < 2**31 else None


def _pairs(pairs: Iterable[Any]) -> dict[str, str]:
    return {pair.key: pair.value for pair in pairs}


def _object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _type_name(number: int) -> str:
    known = TYPES.DESCRIPTOR.values_by_number.get(number)
    return known.name if known else f"type {number}"
