"""What has changed in a collection's settings is told with the name of each."""

import pytest
from qdrant_client import grpc as api

from qmig.qdrant.described import changed_settings, described_settings
from qmig.qdrant.shard_keys import ShardKeyPlacement

EU = ShardKeyPlacement("eu", 1, 1)


def settings(
    size: int = 4,
    distance: int = api.Cosine,
    sparse: bool = False,
    index: int | None = None,
    keys: tuple[ShardKeyPlacement, ...] = (EU,),
) -> dict[str, str]:
    info = api.CollectionInfo()
    info.config.params.vectors_config.params_map.map["a"].size = size
    info.config.params.vectors_config.params_map.map["a"].distance = distance
    if sparse:
        info.config.params.sparse_vectors_config.map["s"].modifier = api.Modifier.Idf
    if index is not None:
        info.payload_schema["city"].data_type = index
    return described_settings(info, keys)


@pytest.mark.parametrize(
    ("now", "change"),
    [
        (settings(size=5), "vector 'a' was size 4, distance Cosine, float32, a single vector and is size 5, "),
        (settings(distance=api.Dot), "and is size 4, distance Dot, float32"),
        (settings(sparse=True), "vector 's' was added"),
        (settings(index=api.PayloadSchemaType.Keyword), "payload index 'city' was added"),
        (settings(keys=()), 'shard key "eu" was taken away'),
        (settings(keys=(EU, ShardKeyPlacement(7))), "shard key 7 was added"),
    ],
)
def test_a_change_is_told_in_one_line(now: dict[str, str], change: str) -> None:
    (line,) = changed_settings(settings(), now)
    assert change in line


def test_another_placement_or_number_of_points_is_no_change() -> None:
    moved = settings(keys=(ShardKeyPlacement("eu", 2, 3),))
    assert changed_settings(settings(), moved) == []
    counted = api.CollectionInfo()
    counted.payload_schema["city"].data_type = api.PayloadSchemaType.Keyword
    before = described_settings(counted, ())
    counted.payload_schema["city"].points = 9
    assert changed_settings(before, described_settings(counted, ())) == []
