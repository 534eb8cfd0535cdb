"""A network in place of gRPC, of threads and of the clock, and worlds on it."""

import time
from collections.abc import Callable, Iterator

import pytest

from qmig.embedded.qdrant.server import handlers
from qmig.embedded.qdrant.storage import Storage
from tests.model.network import Network
from tests.model.world import World

MakeWorld = Callable[..., World]


@pytest.fixture(scope="session")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Storage]:
    storage = Storage(tmp_path_factory.mktemp("model"))
    yield storage
    storage.close()


@pytest.fixture
def make_world(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeWorld]:
    """Make a world of its own for each example."""
    worlds: list[World] = []

    # Plans are written chunk by chunk: a planner can be overtaken between two.
    monkeypatch.setattr("qmig.coordinator.planner.MAX_CHUNKS_SAVED", 1)

    def make(is_created: bool = False) -> World:
        while worlds:
            worlds.pop().close()
        network = Network(handlers(storage))
        monkeypatch.setattr("qmig.rpc.connection.open_channel", network.open_channel)
        for module in ("rpc.connection", "ledger.lease", "jobs.compare_ids", "qdrant.reader"):
            monkeypatch.setattr(f"qmig.{module}.ThreadPoolExecutor", network.executor)
        for module in ("qmig.rpc.call", "qmig.ledger.lease"):
            monkeypatch.setattr(f"{module}.wait_for", network.wait)
        monkeypatch.setattr(time, "monotonic", network.monotonic)
        monkeypatch.setattr(time, "clock_gettime", lambda _: network.monotonic())
        monkeypatch.setattr(time, "sleep", network.sleep)
        worlds.append(World(network, is_created))
        return worlds[-1]

    yield make
    while worlds:
        worlds.pop().close()
