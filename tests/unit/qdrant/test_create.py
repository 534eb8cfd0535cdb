"""The request that creates a target has the settings of the source."""

from typing import Any

import pytest
from google.protobuf.message import Message
from qdrant_client import grpc as api

from qmig.qdrant.create import after_creation_request, create_request, finish_request, loading_request


def filled(message: Message) -> Any:
    """`message` with something other than the default in every field, to the bottom."""
    for field in message.DESCRIPTOR.fields:
        if field.containing_oneof is not None and message.WhichOneof(field.containing_oneof.name):
            continue
        if field.message_type is None:
            value = "x" if field.type == field.TYPE_STRING else 1
            if field.has_presence or not isinstance(getattr(message, field.name), (list, tuple)):
                try:
                    setattr(message, field.name, value)
                except (AttributeError, TypeError):
                    getattr(message, field.name).append(value)
        elif field.message_type.GetOptions().map_entry:
            key: Any = "x" if field.message_type.fields_by_name["key"].type == field.TYPE_STRING else 1
            entry = getattr(message, field.name)[key]
            if entry.DESCRIPTOR.full_name.endswith(".Value"):
                entry.string_value = "x"
            else:
                filled(entry)
        else:
            filled(getattr(message, field.name))
    return message


def info_with_everything() -> api.CollectionInfo:
    return api.CollectionInfo(config=filled(api.CollectionConfig()))


def test_every_setting_that_a_creation_knows_is_carried() -> None:
    source = info_with_everything()
    request = create_request(source, "copy")
    config, params = source.config, source.config.params
    expected = api.CreateCollection(
        collection_name="copy",
        timeout=request.timeout,
        hnsw_config=config.hnsw_config,
        wal_config=config.wal_config,
        optimizers_config=config.optimizer_config,
        quantization_config=config.quantization_config,
        metadata=config.metadata,
        shard_number=params.shard_number,
        on_disk_payload=params.on_disk_payload,
        vectors_config=params.vectors_config,
        replication_factor=params.replication_factor,
        write_consistency_factor=params.write_consistency_factor,
        sharding_method=params.sharding_method,
        sparse_vectors_config=params.sparse_vectors_config,
    )
    expected.optimizers_config.prevent_unoptimized = False
    # Qdrant 1.19 and later.
    for name in ("payload", "id_tracker"):
        if name in api.CreateCollection.DESCRIPTOR.fields_by_name:
            getattr(expected, name).CopyFrom(getattr(params, name))
    assert request == expected
    assert {field.name for field, _ in request.ListFields()} == {
        field.name for field in request.DESCRIPTOR.fields if field.name != "strict_mode_config"
    }, "a field of CreateCollection found nothing in the source's info"


def test_what_only_an_update_can_set_follows_the_creation() -> None:
    request = after_creation_request(info_with_everything(), "copy")
    assert request is not None
    assert {field.name for field, _ in request.params.ListFields()} == {
        "read_fan_out_factor",
        "read_fan_out_delay_ms",
    }
    assert after_creation_request(api.CollectionInfo(), "copy") is None


def test_a_payload_kept_in_memory_stays_in_memory() -> None:
    source = api.CollectionInfo()
    source.config.params.shard_number = 1
    request = create_request(source, "copy")
    assert request.HasField("on_disk_payload")
    assert request.on_disk_payload is False


def test_a_source_without_settings_leaves_them_to_the_target() -> None:
    source = api.CollectionInfo()
    source.config.params.vectors_config.params.size = 4
    source.config.params.vectors_config.params.distance = api.Distance.Cosine
    assert {field.name for field, _ in create_request(source, "copy").ListFields()} == {
        "collection_name",
        "timeout",
        "vectors_config",
        "optimizers_config",
    }


def test_vector_settings_of_a_newer_server_pass_through() -> None:
    newer = b"\xca\x3e\x07unknown"  # field 1001
    source = api.CollectionInfo()
    source.config.params.vectors_config.params.MergeFromString(b"\x08\x04\x10\x01" + newer)
    assert newer in create_request(source, "copy").vectors_config.params.SerializeToString()


def test_the_index_is_off_while_loading_and_comes_back() -> None:
    created = api.CollectionInfo()
    created.config.optimizer_config.indexing_threshold = 10_000
    loading = loading_request(created, "copy").optimizers_config
    assert loading.HasField("indexing_threshold")
    assert loading == api.OptimizersConfigDiff(indexing_threshold=0)
    finish = finish_request(created, api.CollectionInfo(), "copy")
    assert finish.optimizers_config == api.OptimizersConfigDiff(indexing_threshold=10_000)
    assert not finish.HasField("strict_mode_config")


@pytest.mark.parametrize("enabled", [True, False])
def test_strict_mode_that_a_server_gives_by_default_is_off_while_loading(enabled: bool) -> None:
    """A new collection obeys the rate limits of a strict mode that is off, until its strict mode is updated."""
    created = api.CollectionInfo()
    created.config.strict_mode_config.enabled = enabled
    created.config.strict_mode_config.read_rate_limit = 7
    loading = loading_request(created, "copy")
    assert loading.strict_mode_config == api.StrictModeConfig(enabled=False)
    finish = finish_request(created, api.CollectionInfo(), "copy")
    assert finish.strict_mode_config == created.config.strict_mode_config


def test_an_unset_indexing_threshold_comes_back_as_the_servers_default() -> None:
    finish = finish_request(api.CollectionInfo(), api.CollectionInfo(), "copy")
    assert finish.optimizers_config.indexing_threshold == 10_000


def test_an_index_that_the_source_has_switched_off_stays_off() -> None:
    created = api.CollectionInfo()
    created.config.optimizer_config.indexing_threshold = 0
    finish = finish_request(created, api.CollectionInfo(), "copy")
    assert finish.optimizers_config.HasField("indexing_threshold")
    assert finish.optimizers_config.indexing_threshold == 0


def test_the_finish_survives_the_ledger() -> None:
    created = api.CollectionInfo()
    created.config.optimizer_config.indexing_threshold = 5_000
    finish = finish_request(created, info_with_everything(), "copy")
    again = api.UpdateCollection.FromString(finish.SerializeToString())
    assert again == finish
    assert again.collection_name == "copy"
    assert again.optimizers_config.prevent_unoptimized is True
    assert again.strict_mode_config == info_with_everything().config.strict_mode_config
