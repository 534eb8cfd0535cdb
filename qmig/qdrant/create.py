"""The requests that create a target like its source, load it, and put it into its final state."""

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from qmig.qdrant import messages as api

#: Seconds that a cluster's peers may take to agree on a change of a collection.
CHANGE_TIMEOUT = 60

#: Fields of CreateCollection that have another name in CollectionConfig.
CONFIG_NAMES = {"optimizers_config": "optimizer_config"}

#: Fields that are not copied. Strict mode comes at the end (`finish_request`): it would throttle the migration.
NOT_CARRIED = {"collection_name", "timeout", "strict_mode_config"}


def create_request(source: api.CollectionInfo, name: str) -> api.CreateCollection:
    """Create the collection `name` with the settings of `source`, without shard keys, indexes and strict mode.

    Every field that CreateCollection shares with CollectionParams or CollectionConfig is copied, those of later
    versions too. A setting that the source does not have gets the target's default. `finish_request` switches
    prevent_unoptimized and strict mode on.
    """
    request = api.CreateCollection(collection_name=name, timeout=CHANGE_TIMEOUT)
    for field in request.DESCRIPTOR.fields:
        if field.name in NOT_CARRIED:
            continue
        for holder in (source.config, source.config.params):
            held = holder.DESCRIPTOR.fields_by_name.get(CONFIG_NAMES.get(field.name, field.name))
            if held is not None:
                _copy_field(holder, held, request, field)
    # A segment that is made while it is on hides points past the indexing threshold from reads and counts until they
    # are indexed, even if it is switched off later. So it is off from the first segment on.
    request.optimizers_config.prevent_unoptimized = False
    return request


def after_creation_request(source: api.CollectionInfo, name: str) -> api.UpdateCollection | None:
    """Set what only an update can set, such as read_fan_out_factor; None where `source` has no such setting."""
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
        # A Qdrant, which always has shards, reports false only if it was chosen; zero or an empty map is no choice.
        chosen = held.type == FieldDescriptor.TYPE_BOOL and getattr(holder, "shard_number", 0) > 0
        wanted = chosen or bool(value)
    if not wanted:
        return
    if held.message_type is not None:
        getattr(request, field.name).MergeFrom(value)
    else:
        setattr(request, field.name, value)


#: Indexing threshold of Qdrant 1.18 for a collection without one. A server reports none only if its configuration
#: says null, and no update can remove a threshold again.
DEFAULT_INDEXING_THRESHOLD_KB = 10_000


def loading_request(created: api.CollectionInfo, name: str) -> api.UpdateCollection:
    """Switch off the vector index, and the strict mode that a server may give every collection by default."""
    request = api.UpdateCollection(collection_name=name, timeout=CHANGE_TIMEOUT)
    request.optimizers_config.indexing_threshold = 0
    # Even a strict mode that is off limits the rates of a new collection, until it is updated (see `qmig.ledger`).
    if created.config.HasField("strict_mode_config"):
        request.strict_mode_config.enabled = False
    return request


def finish_request(created: api.CollectionInfo, source: api.CollectionInfo, name: str) -> api.UpdateCollection:
    """Put a loaded target into its final state: the index as in `created`, the rest as in `source`.

    The rest is strict mode and prevent_unoptimized, which `create_request` leaves off; without strict mode in the
    source, the target gets its server's default. `created` holds the target's settings after its creation and before
    `loading_request`. The request may be sent more than once.
    """
    request = api.UpdateCollection(collection_name=name, timeout=CHANGE_TIMEOUT)
    # A threshold of 0 in `created` may be that of another load: the source's own counts before it.
    held = [info.config.optimizer_config for info in (created, source)]
    thresholds = [one.indexing_threshold for one in held if one.HasField("indexing_threshold")]
    nonzero = [threshold for threshold in thresholds if threshold]
    request.optimizers_config.indexing_threshold = (nonzero + thresholds + [DEFAULT_INDEXING_THRESHOLD_KB])[0]
    if source.config.optimizer_config.HasField("prevent_unoptimized"):
        request.optimizers_config.prevent_unoptimized = source.config.optimizer_config.prevent_unoptimized
    for settings in (source.config, created.config):
        if settings.HasField("strict_mode_config"):
            request.strict_mode_config.CopyFrom(settings.strict_mode_config)
            break
    return request
