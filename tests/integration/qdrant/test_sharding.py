"""The target gets the source's shard keys, with their shards, also those without points."""

import pytest
from qdrant_client import grpc as api

from qmig.errors import NotFoundError, TerminalError
from qmig.qdrant.collection import exact_count
from qmig.qdrant.create import create_request
from qmig.qdrant.payload_indexes import create_index
from qmig.qdrant.server import Server
from qmig.qdrant.shard_keys import (
    ShardKeyPlacement,
    check_shard_keys_possible,
    create_shard_key,
    placement_notices,
    shard_keys,
)
from tests.support.collections import create, dense_params, info, new_name


@pytest.fixture
def custom(server: Server, source: str) -> str:
    """A collection with custom sharding, three shards a key."""
    try:
        check_shard_keys_possible(server, source)
    except TerminalError as error:
        pytest.skip(str(error))
    create(server, source, dense_params(2), shard_number=3, sharding_method=api.ShardingMethod.Custom)
    return source


def test_shard_keys_are_found_and_made_again_in_the_target(server: Server, custom: str) -> None:
    for key in ("berlin", 7, "7", 2**63, ""):
        create_shard_key(server, custom, ShardKeyPlacement(key))
    placements = shard_keys(server, custom)
    assert [placement.key for placement in placements] == [7, 2**63, "", "7", "berlin"]

    copy = f"{custom}-copy"
    original = info(server, custom)
    server.call(server.collections.Create, create_request(original, copy))
    assert shard_keys(server, copy) == []
    for _ in range(2):
        for placement in placements:
            create_shard_key(server, copy, placement)
    assert shard_keys(server, copy) == placements
    assert info(server, copy).config.params == original.config.params
    assert placement_notices(server, copy, placements) == []


def test_a_key_keeps_its_number_of_shards(server: Server, custom: str) -> None:
    create_shard_key(server, custom, ShardKeyPlacement("one", 1, 1))
    if shard_keys(server, custom)[0].shards_number != 1:
        pytest.skip("the server gives every key the same number of shards")
    create_shard_key(server, custom, ShardKeyPlacement("two", 2, 1))
    create_shard_key(server, custom, ShardKeyPlacement("default"))
    numbers = {placement.key: placement.shards_number for placement in shard_keys(server, custom)}
    assert numbers == {"default": 3, "one": 1, "two": 2}


def test_more_replicas_than_peers_are_noticed(server: Server, custom: str) -> None:
    wanted = ShardKeyPlacement("a", 1, 99)
    create_shard_key(server, custom, wanted)
    (placed,) = shard_keys(server, custom)
    (notice,) = placement_notices(server, custom, [wanted])
    assert notice == (
        "shard key 'a': shards_number 1, replication_factor 99 in the source, "
        f"shards_number {placed.shards_number}, replication_factor {placed.replication_factor} in the target"
    )


def test_more_replicas_than_peers_are_noticed_without_shard_keys(server: Server, source: str) -> None:
    create(server, source, dense_params(2), replication_factor=99)
    assert shard_keys(server, source) == []
    (notice,) = placement_notices(server, source, [])
    assert notice.startswith("replication_factor 99: the target has peers for ")


def test_the_same_id_is_counted_under_each_of_its_keys(server: Server, custom: str) -> None:
    for placement in (
        ShardKeyPlacement("a", 1, 1),
        ShardKeyPlacement(5, 1, 1),
        ShardKeyPlacement("empty", 1, 1),
    ):
        create_shard_key(server, custom, placement)
        if placement.key != "empty":
            request = api.UpsertPoints(collection_name=custom, wait=True)
            request.shard_key_selector.shard_keys.append(placement.shard_key)
            request.points.add(id=api.PointId(num=1)).vectors.vector.dense.data.extend([1, 2])
            server.call(server.points.Upsert, request)
    counts = {key.key: exact_count(server, custom, key.shard_key) for key in shard_keys(server, custom)}
    assert counts == {"a": 1, 5: 1, "empty": 0}
    assert exact_count(server, custom, None) == 2


def test_a_collection_without_any_shard_key_can_be_indexed(server: Server, custom: str) -> None:
    create_index(server, custom, "field", api.PayloadSchemaInfo(data_type=api.PayloadSchemaType.Keyword))
    create_shard_key(server, custom, ShardKeyPlacement("a", 1, 1))
    assert list(info(server, custom).payload_schema) == ["field"]


def test_a_shard_key_is_refused_by_a_collection_that_cannot_have_any(server: Server, source: str) -> None:
    create(server, source, dense_params(2))
    with pytest.raises(TerminalError, match=r"shard key 'a' of .* cluster mode"):
        create_shard_key(server, source, ShardKeyPlacement("a", 1, 1))


def test_a_missing_collection_is_not_taken_for_one_without_keys(server: Server) -> None:
    with pytest.raises(NotFoundError):
        shard_keys(server, new_name("missing"))
