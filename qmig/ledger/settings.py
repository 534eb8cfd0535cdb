"""Settings of the ledger's collection: one shard, at least the target's replicas, and no strict mode."""

import logging

from qmig.errors import ContentsRefusedError, TerminalError
from qmig.qdrant import messages as api
from qmig.qdrant.collection import existing_collection_info, strict_mode
from qmig.qdrant.server import Server

#: The fields that filters name, which therefore need an index.
INDEXES = {
    "record": api.FieldTypeKeyword,
    "migration": api.FieldTypeKeyword,
    "owner": api.FieldTypeKeyword,
    "state": api.FieldTypeKeyword,
    "run": api.FieldTypeKeyword,
    "chunk": api.FieldTypeInteger,
    "claims": api.FieldTypeInteger,
    "index": api.FieldTypeInteger,
    "planner": api.FieldTypeInteger,
}

#: Seconds that a cluster's peers may take to agree on a change. A replica on a dead peer does not become active.
CHANGE_TIMEOUT = 10

#: Switches strict mode off. A new collection, and each one after a restart of its server, obeys the rate limits of
#: the server's configuration even so (sources of Qdrant 1.19, `local_shard/mod.rs`), so they are raised.
NO_RATE_LIMIT = 2**32 - 1
NOT_STRICT = api.StrictModeConfig(enabled=False, read_rate_limit=NO_RATE_LIMIT, write_rate_limit=NO_RATE_LIMIT)

log = logging.getLogger(__name__)


def create_request(name: str, replicas: int | None) -> api.CreateCollection:
    """The request for a ledger whose records have `replicas` copies, as far as the cluster has peers for them.

    None is the server's default. One shard gives all records one leader. Each setting is given that a server's
    configuration may choose for new collections, and that would make it refuse calls of the ledger.
    """
    return api.CreateCollection(
        collection_name=name,
        vectors_config=api.VectorsConfig(params_map=api.VectorParamsMap()),
        shard_number=1,
        replication_factor=replicas,
        # With more, a dead replica stops all writes. A replica that misses a write is marked dead in any case.
        write_consistency_factor=1,
        strict_mode_config=NOT_STRICT,
        timeout=CHANGE_TIMEOUT,
    )


def prepare(server: Server, name: str) -> None:
    """Lift the strict mode of a ledger, and create the indexes that it lacks.

    A strict mode that may not be lifted is left: `qmig.ledger.collection` keeps within its limits.
    """
    info = existing_collection_info(server, name)
    if info.config.strict_mode_config.enabled:
        request = api.UpdateCollection(collection_name=name, strict_mode_config=NOT_STRICT, timeout=CHANGE_TIMEOUT)
        try:
            server.call(server.collections.Update, request)
        except TerminalError as error:
            log.info("the strict mode of the ledger %r stays on: %s", name, error)
    for field, kind in INDEXES.items():
        if field not in info.payload_schema:
            _create_index(server, name, field, kind)


def max_records(info: api.CollectionInfo, most: int) -> int:
    """Records that one request may read or write: `most`, or what the ledger's strict mode allows."""
    strict = strict_mode(info)
    return min(most, strict.max_query_limit or most, strict.upsert_max_batchsize or most)


def _create_index(server: Server, name: str, field: str, kind: "api.FieldType.ValueType") -> None:
    request = api.CreateFieldIndexCollection(collection_name=name, wait=True, field_name=field, field_type=kind)
    try:
        server.call(server.points.CreateFieldIndex, request)
    except ContentsRefusedError as error:
        # A strict mode with `max_payload_index_count`. Without the index, a filter takes longer.
        log.info("the ledger %r has no index on %r: %s", name, field, error)
