"""The request that creates a target as its source is."""

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from qmig.qdrant import messages as api

# Seconds that a server may take to agree on a change of a collection among its peers.
CHANGE_TIMEOUT = 60

# What CollectionConfig calls otherwise than CreateCollection does.
CONFIG_NAMES = {"optimizers_config": "optimizer_config"}

# Strict mode comes at the end (`finish_request`), so that a migration does not throttle itself.
NOT_CARRIED = {"collection_name", "timeout", "strict_mode_config"}


def create_request(source: api.CollectionInfo, name: str) -> api.CreateCollection:
    """The collection of `source` under another name, without its points, shard keys, indexes and strict mode.

    Every field that CreateCollection has in common with CollectionParams or CollectionConfig is carried,
    those of later versions too. A source that leaves a setting out gets the target's default.
    prevent_unoptimized, like strict mode, is for `finish_request` to switch on.
    """
    request = api.CreateCollection(collection_name=name, timeout=CHANGE_TIMEOUT)
    for field in request.DESCRIPTOR.fields:
        if field.name in NOT_CARRIED:
            continue
        for holder in (source.config, source.config.params):
            held = holder.DESCRIPTOR.fields_by_name.get(CONFIG_NAMES.get(field.name, field.name))
            if held is not None:
                _copy_field(holder, held, request, field)
    # A segment made with it on hides the points past its indexing threshold until they are indexed: from
    # reads and counts, and even after it was switched off. So it is off from the first segment on.
    request.optimizers_config.prevent_unoptimized = False
    return request


def after_creation_request(source: api.CollectionInfo, name: str) -> api.UpdateCollection | None:
    """What of `source` only an update can set, such as read_fan_out_factor; None if there is nothing."""
    request = api.UpdateCollection(collection_name=name, timeout=CHANGE_TIMEOUT)
    params = source.config.params
    for field in request.params.DESCRIPTOR.fields:
        held = params.DESCRIPTOR.fields_by_name.get(field.name)
        if held is not None and field.name not in api.CreateCollection.DESCRIPTOR.fields_by_name:
            _copy_field(params, held, request.params, field)
    return request if request.HasField("params") else None


def _copy_field(holder: Message, held: FieldDescriptor, request: Message, field: FieldDescriptor) -> None:
    value = getattr(holder, held.name)
    if held.has_presence:
        wanted = holder.HasField(held.name)
    else:
        # A false is a choice if a Qdrant reports it, which always has shards; a zero or an empty map is none.
        chosen = held.type == FieldDescriptor.TYPE_BOOL and getattr(holder, "shard_number", 0) > 0
        wanted = chosen or bool(value)
    if not wanted:
        return
    if held.message_type is not None:
        getattr(request, field.name).MergeFrom(value)
    else:
        setattr(request, field.name, value)


# What Qdrant 1.18 goes by where a collection has no indexing_threshold. It reports none only if its own
# configuration says null, and no update can unset a threshold again.
DEFAULT_INDEXING_THRESHOLD_KB = 10_000


def loading_request(created: api.CollectionInfo, name: str) -> api.UpdateCollection:
    """Switch the vector index off, and the strict mode that a server may give every collection by default."""
    request = api.UpdateCollection(collection_name=name, timeout=CHANGE_TIMEOUT)
    request.optimizers_config.indexing_threshold = 0
    if created.config.strict_mode_config.enabled:
        request.strict_mode_config.enabled = False
    return request


def finish_request(created: api.CollectionInfo, source: api.CollectionInfo, name: str) -> api.UpdateCollection:
    """Put a loaded target into its final state: the index on as in `created`, the rest as in `source`.

    The rest is strict mode and prevent_unoptimized, which `create_request` leaves off; a source without
    strict mode leaves the target its server's default. `created` is the target's info after its creation and
    before `loading_request`. The request stands by itself and may be sent more than once.
    """
    request = api.UpdateCollection(collection_name=name, timeout=CHANGE_TIMEOUT)
    threshold = DEFAULT_INDEXING_THRESHOLD_KB
    if created.config.optimizer_config.HasField("indexing_threshold"):
        threshold = created.config.optimizer_config.indexing_threshold
    request.optimizers_config.indexing_threshold = threshold
    if source.config.optimizer_config.HasField("prevent_unoptimized"):
        request.optimizers_config.prevent_unoptimized = source.config.optimizer_config.prevent_unoptimized
    for settings in (source.config, created.config):
        if settings.HasField("strict_mode_config"):
            request.strict_mode_config.CopyFrom(settings.strict_mode_config)
            break
    return request
