"""Payload indexes: those of the source, made in the target with all their parameters."""

from qmig.errors import TerminalError, TransientError
from qmig.qdrant import messages as api
from qmig.qdrant.server import Server

# Seconds; an index over the points that an existing target holds takes long.
INDEX_TIMEOUT = 1800

# The same types have other numbers in a request than in a collection's info.
FIELD_TYPES = {
    number: api.FieldType.Value(f"FieldType{name}")
    for name, number in api.PayloadSchemaType.items()
    if number != api.PayloadSchemaType.UnknownType
}


def missing_indexes(source: api.CollectionInfo, target: api.CollectionInfo) -> dict[str, api.PayloadSchemaInfo]:
    """The indexed fields of the source that have no index of any type in the target."""
    return {
        field: source.payload_schema[field]
        for field in sorted(source.payload_schema)
        if field not in target.payload_schema
    }


def index_notices(source: api.CollectionInfo, target: api.CollectionInfo) -> list[str]:
    """Fields that are indexed otherwise in the target than in the source; one line each."""
    return [
        f"payload index {field!r}: {ours} in the source, {theirs} in the target; it is left as it is"
        for field in sorted(source.payload_schema)
        if field in target.payload_schema
        and (ours := _described(source.payload_schema[field])) != (theirs := _described(target.payload_schema[field]))
    ]


def create_index(server: Server, collection: str, field: str, info: api.PayloadSchemaInfo) -> None:
    """Index a payload field as `info` says, and wait until it is done; the same index twice is one index."""
    field_type = FIELD_TYPES.get(info.data_type)
    if field_type is None:
        raise TerminalError(
            f"payload field {field!r} has an index of type {info.data_type}, which this version of "
            "qdrant-client does not know; upgrade it"
        )
    request = api.CreateFieldIndexCollection(
        collection_name=collection,
        wait=True,
        field_name=field,
        field_type=field_type,
    )
    if info.HasField("params"):
        request.field_index_params.CopyFrom(info.params)
    response = server.call(server.points.CreateFieldIndex, request, timeout=INDEX_TIMEOUT)
    # With custom sharding and no shard key yet there is nothing to wait for: the answer is Acknowledged.
    if response.result.status not in (api.UpdateStatus.Completed, api.UpdateStatus.Acknowledged):
        status = api.UpdateStatus.Name(response.result.status)
        raise TransientError(
            f"{server.role} {server.endpoint.url}: the index of payload field {field!r} is not done: {status}"
        )


def _described(info: api.PayloadSchemaInfo) -> str:
    known = api.PayloadSchemaType.DESCRIPTOR.values_by_number.get(info.data_type)
    name = known.name.lower() if known else f"type {info.data_type}"
    which = info.params.WhichOneof("index_params")
    settings = " ".join(str(getattr(info.params, which)).split()) if which else ""
    return f"{name} ({settings})" if settings else name
