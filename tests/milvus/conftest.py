"""Milvus servers, each started once, and kept for the tests of this folder, by the first test that wants it.

`milvus_server` runs a test on every one of them, and on the server at $QMIG_TEST_MILVUS (a URL) where that is set,
which has to be a later one than these: it is asked for everything, and 2.3 for one does not survive that;
`milvus_lite`, `milvus_older_lite` and `milvus_standalone` are one each. A server that cannot be had skips the test.
`milvus_sample` has every sample of `samples`, for reading alone; `every_sample` parametrizes a test with them.
"""

import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from uuid import uuid4

import pytest
from pymilvus import MilvusClient
from pymilvus.exceptions import MilvusException

from qmig.qdrant.server import Server
from tests.support.collections import delete, new_name
from tests.support.command import Run
from tests.support.milvus.clients import connect
from tests.support.milvus.kinds import KIND_NAMES, VARIABLE, FindSample, StartMilvus
from tests.support.milvus.migration import Migration
from tests.support.milvus.samples import samples_for
from tests.support.milvus.samples.sample import Sample
from tests.support.milvus.servers import KINDS, GivenServer, MilvusServer
from tests.support.servers_used import note_server


@pytest.fixture(scope="package")
def start_milvus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartMilvus]:
    """The running server of a kind, or a skip."""
    started: dict[str, MilvusServer] = {}

    def start(kind: str) -> MilvusServer:
        if kind not in started:
            started[kind] = stack.enter_context(_server(kind, tmp_path_factory))
            server = started[kind]
            note_server(f"Milvus {kind}", f"{server.version} at {server.url} {server.notice}".strip())
        return started[kind]

    with ExitStack() as stack:
        yield start


def _server(kind: str, tmp_path_factory: pytest.TempPathFactory) -> MilvusServer:
    if kind == GivenServer.kind:
        return GivenServer(os.environ[VARIABLE])
    (server,) = (each for each in KINDS if each.kind == kind)
    if reason := server.missing():
        pytest.skip(
            f"no Milvus {server.version}: {reason}; there is no wheel for this platform, or `make test` did not run"
        )
    return server(tmp_path_factory.mktemp(f"milvus-{kind}"))


@pytest.fixture(scope="package", params=KIND_NAMES)
def milvus_server(start_milvus: StartMilvus, request: pytest.FixtureRequest) -> MilvusServer:
    """Every server in turn."""
    return start_milvus(request.param)


@pytest.fixture(scope="package")
def milvus_lite(start_milvus: StartMilvus) -> MilvusServer:
    """Milvus Lite 3.2."""
    return start_milvus("lite")


@pytest.fixture(scope="package")
def milvus_older_lite(start_milvus: StartMilvus) -> MilvusServer:
    """Milvus Lite 2.5."""
    return start_milvus("lite-2.5")


@pytest.fixture(scope="package")
def milvus_standalone(start_milvus: StartMilvus) -> MilvusServer:
    """The standalone server, 2.3."""
    return start_milvus("standalone")


@pytest.fixture
def milvus_client(milvus_server: MilvusServer) -> Iterator[MilvusClient]:
    """A client of every server in turn."""
    client = connect(milvus_server.url)
    yield client
    client.close()


@pytest.fixture
def milvus_name(milvus_client: MilvusClient) -> Iterator[str]:
    """The name of a collection, which is deleted after the test."""
    name = f"c_{uuid4().hex}"
    yield name
    milvus_client.drop_collection(name)


@pytest.fixture
def migration(
    qmig: Run,
    fleet: str,
    milvus_server: MilvusServer,
    milvus_client: MilvusClient,
    milvus_name: str,
    target_server: Server,
) -> Iterator[Migration]:
    """A migration from every Milvus server in turn."""
    names = new_name("target"), new_name("ledger")
    yield Migration(qmig, fleet, milvus_server.url, milvus_client, milvus_name, target_server, *names)
    for name in names:
        delete(target_server, name)


@pytest.fixture(scope="package")
def milvus_sample(start_milvus: StartMilvus) -> Iterator[FindSample]:
    """The name of a sample's collection on a kind of server, which no test may change.

    All samples of a server are made at once when the first is asked for: making one is mostly waiting.
    """
    suffix = uuid4().hex[:8]
    made: dict[str, dict[str, Future[str]]] = {}

    def find(kind: str, sample: Sample) -> str:
        url = start_milvus(kind).url
        if kind not in made:
            made[kind] = {each.name: pool.submit(_make, url, each, suffix) for each in samples_for(kind)}
        try:
            return made[kind][sample.name].result()
        except MilvusException as error:
            if kind == GivenServer.kind:
                pytest.skip(f"{url} does not take {sample.name}: {error}")
            raise

    with ThreadPoolExecutor(16) as pool:
        yield find
    if GivenServer.kind in made:
        client = connect(os.environ[VARIABLE])
        for each in samples_for(GivenServer.kind):
            client.drop_collection(f"{each.name}_{suffix}")
        client.close()


def _make(url: str, sample: Sample, suffix: str) -> str:
    client = connect(url)
    try:
        sample.create(client, f"{sample.name}_{suffix}")
    finally:
        client.close()
    return f"{sample.name}_{suffix}"
