"""The settings that tell a Qdrant collection from another one under its name."""

import json

import pytest
from qdrant_client import grpc as api

from qmig.qdrant.identity import difference, settings_of

BEFORE = {"text": api.VectorParams(size=4, distance=api.Dot), "image": api.VectorParams(size=8, distance=api.Cosine)}


def info(
    vectors: dict[str, api.VectorParams] | None = None, sparse: tuple[str, ...] = (), created: int = 0, **params: int
) -> api.CollectionInfo:
    found = api.CollectionInfo()
    found.config.params.MergeFrom(api.CollectionParams(**params))
    for name, vector in (BEFORE if vectors is None else vectors).items():
        found.config.params.vectors_config.params_map.map[name].CopyFrom(vector)
    for name in sparse:
        found.config.params.sparse_vectors_config.map[name].SetInParent()
    if created:
        found.created_at.seconds = created
    return found


def changed(**fields: object) -> dict[str, api.VectorParams]:
    vector = api.VectorParams()
    vector.CopyFrom(BEFORE["text"])
    vector.MergeFrom(api.VectorParams(**fields))
    return {**BEFORE, "text": vector}


def reason(before: api.CollectionInfo, now: api.CollectionInfo) -> str | None:
    # As the ledger returns it.
    return difference(json.loads(json.dumps(settings_of(before))), settings_of(now))


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        (info(), info(changed(size=5)), "vector 'text' was size 4 Dot and is size 5 Dot"),
        (info(), info(changed(distance=api.Euclid)), "vector 'text' was size 4 Dot and is size 4 Euclid"),
        (info(), info(changed(datatype=api.Float16)), "vector 'text' was size 4 Dot and is size 4 Dot Float16"),
        (
            info(),
            info(changed(multivector_config=api.MultiVectorConfig())),
            "vector 'text' was size 4 Dot and is size 4 Dot MaxSim",
        ),
        (info(), info({}, sparse=("text",)), "vector 'text' was size 4 Dot and is sparse"),
        (info(), info({"other": BEFORE["text"]}), "it had the vectors 'image', 'text', and has none of them"),
        (info(), info(sharding_method=api.Custom), "sharding was Auto and is Custom"),
        (
            info(created=1),
            info(created=2),
            "created_at was 1970-01-01T00:00:01Z and is 1970-01-01T00:00:02Z",
        ),
    ],
)
def test_another_collection_has_other_settings(
    before: api.CollectionInfo, now: api.CollectionInfo, expected: str
) -> None:
    assert reason(before, now) == expected


@pytest.mark.parametrize(
    ("before", "now"),
    [
        (info(), info()),
        (info(), info(shard_number=6, replication_factor=2, on_disk_payload=True)),
        (info(), info({**BEFORE, "new": api.VectorParams(size=2, distance=api.Dot)})),
        (info(), info({"text": BEFORE["text"]})),
        (info(), info(changed(on_disk=True, hnsw_config=api.HnswConfigDiff(m=8)))),
        (info({}), info({})),
        (info(created=1), info()),
        (info(), info(created=1)),
    ],
)
def test_the_same_collection_may_have_other_settings(before: api.CollectionInfo, now: api.CollectionInfo) -> None:
    assert reason(before, now) is None
