"""Collections of the embedded Qdrant have the settings, indexes, shard keys and aliases that a real one shows."""

import uuid

import grpc
from qdrant_client import grpc as api

from tests.support.collections import dense, point, simple_points
from tests.support.qdrant_client import Client, refused, shard_key, values


def test_settings_are_shown_as_given_and_filled_with_the_defaults(client: Client, name: str) -> None:
    size = api.VectorParams(size=4, distance=api.Dot, on_disk=True, hnsw_config=api.HnswConfigDiff(m=0))
    client.create(
        name,
        api.VectorsConfig(params=size),
        hnsw_config=api.HnswConfigDiff(payload_m=8),
        optimizers_config=api.OptimizersConfigDiff(indexing_threshold=0),
        quantization_config=api.QuantizationConfig(binary=api.BinaryQuantization(always_ram=True)),
        metadata=values({"made by": "a test"}),
    )
    config = client.info(name).config
    assert config.params.vectors_config.params == size
    assert (config.params.shard_number, config.params.replication_factor) == (1, 1)
    assert (config.hnsw_config.m, config.hnsw_config.ef_construct, config.hnsw_config.payload_m) == (16, 100, 8)
    assert config.optimizer_config.HasField("indexing_threshold")
    assert config.optimizer_config.indexing_threshold == 0
    assert config.quantization_config.binary.always_ram
    assert config.metadata["made by"].string_value == "a test"

    update = api.UpdateCollection(
        collection_name=name,
        optimizers_config=api.OptimizersConfigDiff(indexing_threshold=5000),
        quantization_config=api.QuantizationConfigDiff(disabled=api.Disabled()),
        vectors_config=api.VectorsConfigDiff(params=api.VectorParamsDiff(on_disk=False)),
        metadata=values({"made by": None, "more": 1}),
    )
    client.collections.Update(update)
    config = client.info(name).config
    assert config.optimizer_config.indexing_threshold == 5000
    assert not config.HasField("quantization_config")
    assert not config.params.vectors_config.params.on_disk
    assert config.params.vectors_config.params.hnsw_config.m == 0
    assert {key: value.integer_value for key, value in config.metadata.items()} == {"more": 1}


def test_payload_indexes_are_shown_with_all_parameters(client: Client, name: str) -> None:
    client.create(name)
    client.upsert(name, point(1, dense([1, 2, 3, 4]), {"tag": "x", "number": 3}))
    text = api.TextIndexParams(
        tokenizer=api.Word,
        lowercase=True,
        min_token_len=2,
        stopwords=api.StopwordsSet(languages=["english"], custom=["foo"]),
        stemmer=api.StemmingAlgorithm(snowball=api.SnowballParams(language="german")),
        phrase_matching=True,
    )
    wanted = {
        "tag": (
            api.FieldTypeKeyword,
            api.PayloadIndexParams(keyword_index_params=api.KeywordIndexParams(is_tenant=True)),
        ),
        "number": (
            api.FieldTypeInteger,
            api.PayloadIndexParams(integer_index_params=api.IntegerIndexParams(lookup=True, range=False)),
        ),
        "text": (api.FieldTypeText, api.PayloadIndexParams(text_index_params=text)),
        "when": (api.FieldTypeDatetime, None),
    }
    for field, (kind, params) in wanted.items():
        client.points.CreateFieldIndex(
            api.CreateFieldIndexCollection(
                collection_name=name, wait=True, field_name=field, field_type=kind, field_index_params=params
            )
        )
    schema = client.info(name).payload_schema
    assert set(schema) == set(wanted)
    for field, (_, params) in wanted.items():
        assert schema[field].HasField("params") == (params is not None)
        assert schema[field].params == (params or api.PayloadIndexParams())
    assert (schema["tag"].points, schema["text"].points) == (1, 0)
    client.points.DeleteFieldIndex(api.DeleteFieldIndexCollection(collection_name=name, wait=True, field_name="tag"))
    assert set(client.info(name).payload_schema) == set(wanted) - {"tag"}


def test_shard_keys_are_listed_with_their_shards(client: Client, custom: str) -> None:
    client.create_shard_key(custom, shard_key("wide"), shards_number=3)
    listed = client.collections.ListShardKeys(api.ListShardKeysRequest(collection_name=custom)).shard_keys
    assert {one.key.keyword or one.key.number for one in listed} == {"a", "b", 7, "empty", "wide"}
    layout = client.collections.CollectionClusterInfo(api.CollectionClusterInfoRequest(collection_name=custom))
    shards = [one.shard_key.keyword or one.shard_key.number for one in layout.local_shards]
    assert sorted(map(str, shards)) == ["7", "a", "b", "empty", "wide", "wide", "wide"]
    counts = {one.shard_key.keyword or one.shard_key.number: one.points_count for one in layout.local_shards}
    assert (counts["a"], counts["b"], counts["empty"]) == (5, 6, 0)
    client.collections.DeleteShardKey(
        api.DeleteShardKeyRequest(collection_name=custom, request=api.DeleteShardKey(shard_key=shard_key("b")))
    )
    assert client.count(custom) == 11


def test_aliases_lead_to_their_collection(client: Client, name: str) -> None:
    client.create(name)
    client.upsert(name, *simple_points(3))
    alias = f"alias-{uuid.uuid4()}"
    create = api.AliasOperations(create_alias=api.CreateAlias(collection_name=name, alias_name=alias))
    client.collections.UpdateAliases(api.ChangeAliases(actions=[create]))
    assert client.count(alias) == 3
    listed = client.collections.ListCollectionAliases(api.ListCollectionAliasesRequest(collection_name=name))
    assert [one.alias_name for one in listed.aliases] == [alias]
    client.collections.Delete(api.DeleteCollection(collection_name=name))
    assert refused(lambda: client.count(alias))[0] == grpc.StatusCode.NOT_FOUND
