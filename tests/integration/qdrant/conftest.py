"""The target server, and collections that are created on it directly, without a migration."""

from collections.abc import Iterator

import pytest

from qmig.qdrant.server import Server
from tests.support.collections import delete, new_name


@pytest.fixture(name="server")
def _server(target_server: Server) -> Server:
    return target_server


@pytest.fixture
def source(server: Server) -> Iterator[str]:
    """A name for a collection; it and its copy are deleted in the end."""
    name = new_name("source")
    yield name
    for collection in (name, f"{name}-copy"):
        delete(server, collection)
