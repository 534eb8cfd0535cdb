"""The target collection: created as its source is, compared with it, indexed, and set up for the load."""

from qmig.target.comparison import differences, notices, throttles
from qmig.target.counting import exact_count
from qmig.target.creation import after_creation_request, create_request
from qmig.target.indexes import create_index, index_notices, missing_indexes
from qmig.target.loading import finish_request, loading_request
from qmig.target.lookup import check_readable, close_names, collection_info, collection_names, is_custom, present_ids
from qmig.target.sharding import (
    ShardKeyPlacement,
    check_shard_keys_possible,
    create_shard_key,
    placement_notices,
    shard_keys,
)
from qmig.target.versions import check_versions

__all__ = [
    "ShardKeyPlacement",
    "after_creation_request",
    "check_readable",
    "check_shard_keys_possible",
    "check_versions",
    "close_names",
    "collection_info",
    "collection_names",
    "create_index",
    "create_request",
    "create_shard_key",
    "differences",
    "exact_count",
    "finish_request",
    "index_notices",
    "is_custom",
    "loading_request",
    "missing_indexes",
    "notices",
    "placement_notices",
    "present_ids",
    "shard_keys",
    "throttles",
]
