"""Servers that a test may kill, with a proxy before each."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace

import pytest

from qmig.migration import Endpoint
from qmig.qdrant.server import Server
from tests.support.collections import delete, new_name
from tests.support.fault_servers import DisturbedEnds, FaultServers
from tests.support.migrations import fill_source
from tests.support.qdrant_servers import qdrant_in
from tests.support.scripted_proxy import Answering
from tests.support.tcp_proxy import Proxy


@pytest.fixture(scope="package")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultServers]:
    with ExitStack() as stack:
        servers = {role: qdrant_in(tmp_path_factory.mktemp(role)) for role in ("source", "target")}
        for server in servers.values():
            stack.callback(server.stop)
            server.start()
        yield FaultServers(
            servers, {role: stack.enter_context(Proxy(server.port)) for role, server in servers.items()}
        )


@pytest.fixture
def fault_servers(servers: FaultServers) -> Iterator[FaultServers]:
    yield servers
    servers.restore()


@pytest.fixture
def disturbed(fault_servers: FaultServers) -> Iterator[DisturbedEnds]:
    """A filled source; the migration goes through the proxies."""
    with (
        Server(Endpoint.parse(fault_servers.servers["source"].url, "source"), "source") as source,
        Server(Endpoint.parse(fault_servers.servers["target"].url, "target"), "target") as target,
    ):
        names = (new_name("source"), new_name("target"), new_name("ledger"))
        ends = DisturbedEnds(
            source, target, *names, fault_servers.proxies["source"].url, fault_servers.proxies["target"].url
        )
        fill_source(ends)
        yield ends
        fault_servers.restore()
        delete(source, names[0])
        delete(target, names[1])
        delete(target, names[2])


@pytest.fixture
def source_answers(disturbed: DisturbedEnds) -> Iterator[Answering]:
    """A proxy before the source that answers some calls itself."""
    with Answering(disturbed.source.endpoint) as answering:
        yield answering


@pytest.fixture
def target_answers(disturbed: DisturbedEnds) -> Iterator[Answering]:
    """A proxy before the target that answers some calls itself."""
    with Answering(disturbed.target.endpoint) as answering:
        yield answering


@pytest.fixture
def refused(disturbed: DisturbedEnds, source_answers: Answering, target_answers: Answering) -> DisturbedEnds:
    """A filled source; the migration goes through the proxies that answer some calls themselves."""
    return replace(disturbed, source_url=source_answers.url, target_url=target_answers.url)
