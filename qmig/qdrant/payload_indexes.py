"""Payload indexes: create in the target those of the source, with all their parameters."""

from collections.abc import Mapping

from qmig.errors import TerminalError, TransientError
from qmig.qdrant import messages as api
from qmig.qdrant.enum_names import enum_name
from qmig.qdrant.server import Server

#: Seconds to build an index; one over the points of an existing target takes long.
INDEX_TIMEOUT = 1800


def missing_indexes(source: api.CollectionInfo, target: api.CollectionInfo) -> dict[str, api.PayloadSchemaInfo]:
    """The indexed fields of the source that have no index of any type in the target."""
    return {
        field: source.payload_schema[field]
        for field in sorted(source.payload_schema)
        if field not in target.payload_schema
    }


def check_index_types(indexes: Mapping[str, api.PayloadSchemaInfo]) -> None:
    """Raise TerminalError where the installed client cannot ask for an index of such a type."""
    for field, info in indexes.items():
        if field_type(info.data_type) is None:
            kind = index_type_name(info.data_type)
            raise TerminalError(
                f"payload field {field!r} has an index ({kind}) that this version of qdrant-client does not know; "
                "upgrade it"
            )


def field_type(data_type: int) -> "api.FieldType.ValueType | None":
    """The number that a request has for an index type, whose number in a collection's settings is another."""
    if data_type == api.PayloadSchemaType.UnknownType:
        return None
    name = enum_name(api.PayloadSchemaType.DESCRIPTOR, data_type)
    return dict(api.FieldType.items()).get(f"FieldType{name}")


def index_type_name(data_type: int) -> str:
    """The name of an index type, such as `keyword`; `type 99` where the installed client has no name for it."""
    name = enum_name(api.PayloadSchemaType.DESCRIPTOR, data_type)
    return f"type {name}" if name.isdigit() else name.lower()


def index_notices(source: api.CollectionInfo, target: api.CollectionInfo) -> list[str]:
    """Describe the fields that have another index in the target than in the source; one line each."""
    return [
        f"payload index {field!r}: {ours} in the source, {theirs} in the target; it is left as it is"
        for field in sorted(source.payload_schema)
        if field in target.payload_schema
        and (ours := index_text(source.payload_schema[field])) != (theirs := index_text(target.payload_schema[field]))
    ]


def create_index(server: Server, collection: str, field: str, info: api.PayloadSchemaInfo) -> None:
    """Index a payload field as `info` says, and wait until it is done; creating an index twice makes one index."""
    check_index_types({field: info})
    request = api.CreateFieldIndexCollection(
        collection_name=collection,
        wait=True,
        field_name=field,
        field_type=field_type(info.data_type),
    )
    if info.HasField("params"):
        request.field_index_params.CopyFrom(info.params)
    response = server.call(server.points.CreateFieldIndex, request, timeout=INDEX_TIMEOUT)
    # With custom sharding and no shard key yet there is nothing to wait for: the answer is Acknowledged.
    if response.result.status not in (api.UpdateStatus.Completed, api.UpdateStatus.Acknowledged):
        status = enum_name(api.UpdateStatus.DESCRIPTOR, response.result.status)
        raise TransientError(
            f"{server.role} {server.endpoint.url}: the index of payload field {field!r} is not done: {status}"
        )


def index_text(info: api.PayloadSchemaInfo) -> str:
    """An index's type and parameters."""
    name = index_type_name(info.data_type)
    which = info.params.WhichOneof("index_params")
    settings = " ".join(str(getattr(info.params, which)).split()) if which else ""
    return f"{name} ({settings})" if settings else name
