"""An embedded Qdrant that a file's tests share, and the real one beside it.

With $QMIG_TEST_SOURCE_QDRANT the tests of `client` run against that real server, too.
"""

import os
import uuid
from collections.abc import Iterator

import grpc
import pytest
from qdrant_client import grpc as api

from qmig.embedded.qdrant import EmbeddedQdrant
from tests.support.collections import dense, point
from tests.support.qdrant_client import Client, keys, shard_key
from tests.support.qdrant_servers import SOURCE_VARIABLE

REAL = os.environ.get(SOURCE_VARIABLE)


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with EmbeddedQdrant(tmp_path_factory.mktemp("embedded") / "data") as server:
        yield Client(server.url)


@pytest.fixture(params=["embedded", "real"])
def client(request: pytest.FixtureRequest) -> Client:
    if request.param == "embedded":
        return request.getfixturevalue("embedded")
    if REAL is None:
        pytest.skip(f"{SOURCE_VARIABLE} is not set")
    return Client(REAL)


@pytest.fixture
def name(client: Client) -> Iterator[str]:
    """The name of a collection that is deleted afterwards."""
    name = f"embedded-{uuid.uuid4()}"
    yield name
    client.collections.Delete(api.DeleteCollection(collection_name=name))


@pytest.fixture
def custom(client: Client, name: str) -> str:
    """A collection with the shard keys a, b, 7 and an empty one; the first three hold points of equal ids."""
    try:
        client.create(name, sharding_method=api.Custom)
        for key in ("a", "b", 7, "empty"):
            client.create_shard_key(name, shard_key(key))
    except grpc.RpcError as error:
        pytest.skip(f"no custom sharding: {error.details()}")
    for key in ("a", "b", 7):
        points = [point(number, dense([number] * 4), {"key": str(key)}) for number in range(1, 6)]
        client.upsert(name, *points, shard_key_selector=keys(key))
    client.upsert(name, point(6, dense([6] * 4)), shard_key_selector=keys("b", 7))
    return name
