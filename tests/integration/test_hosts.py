"""One migration over several hosts, with the broker and both Qdrants on another; a host dies, a host is isolated."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from qmig.embedded.child_process import ChildProcess, free_port
from qmig.embedded.redis import find_redis_server
from qmig.ledger.records import ChunkRecord, State
from qmig.migration import Endpoint
from qmig.qdrant.server import Server
from tests.support.collections import new_name
from tests.support.ends import Ends
from tests.support.hosts import NAMES, NAMESPACES, AddHost, Host, NamespaceHost, Network, named_hosts, why_not
from tests.support.migrations import POINTS, arrived, chunks_of, fill_source, finish, start
from tests.support.waiting import until, until_logged

QMIG = (sys.executable, "-m", "qmig")
WORKERS = ("host-a", "host-b", "host-c")
# Many more chunks than hosts, each of two seconds and more.
SLOWLY = ["-c", "--chunk-size", "500", "-b", "10", "--batch-delay", "50"]


@pytest.fixture
def network() -> Iterator[Network]:
    """A switch that hosts are plugged into."""
    if reason := why_not(*NAMESPACES, "ip", "link", "add", "switch", "type", "bridge"):
        pytest.skip(f"no network namespaces: {reason}")
    made = Network()
    yield made
    made.close()


@pytest.fixture
def names() -> Iterator[AddHost]:
    """Hosts by their names alone."""
    if reason := why_not(*NAMES, "hostname", "other"):
        pytest.skip(f"no host names of their own: {reason}")
    with named_hosts() as add:
        yield add


@pytest.fixture(params=["network namespaces", "host names"])
def add_host(request: pytest.FixtureRequest) -> AddHost:
    """Make hosts in network namespaces where this machine allows these, and otherwise with host names alone."""
    if request.param == "host names":
        named: AddHost = request.getfixturevalue("names")
        return named
    network: Network = request.getfixturevalue("network")
    return network.add


@contextmanager
def servers(host: Host, directory: Path) -> Iterator[tuple[str, Ends]]:
    """The URL of a broker, and a filled source with a target, all on one host."""
    port = free_port()
    configuration = f'bind {host.address}\nport {port}\nrequirepass secret\nsave ""\n'
    broker = host.run([find_redis_server(), "-"], "redis-server", configuration.encode())
    broker.wait_for_line("Ready to accept connections")
    with ExitStack() as stack:
        ends = [stack.enter_context(qdrant(host, directory, role)) for role in ("source", "target")]
        names = (new_name("source"), new_name("target"), new_name("ledger"))
        made = Ends(*ends, *names)
        fill_source(made)
        yield f"redis://:secret@{host.address}:{port}/0", made


@contextmanager
def qdrant(host: Host, directory: Path, role: str) -> Iterator[Server]:
    command = [*QMIG, "embedded", "qdrant", "--path", str(directory / role), "--host", host.address]
    url = host.run(command, f"the {role}").wait_for_line("listening on ")
    with Server(Endpoint.parse(url, role), role) as server:
        yield server


def start_worker(host: Host, broker: str) -> ChildProcess:
    worker = host.run([*QMIG, "worker", "--concurrency", "1"], f"the worker of {host.name}", QMIG_BROKER_URL=broker)
    until_logged(worker, "ready.")
    return worker


def hosts_at_work(ends: Ends) -> dict[str, ChunkRecord]:
    """The chunk that each host is copying."""
    return {chunk.owner.partition("/")[0]: chunk for chunk in chunks_of(ends) if chunk.owner}


def until_all_take_part(ends: Ends, hosts: set[str]) -> None:
    seen: set[str] = set()

    def all_were_seen() -> bool:
        seen.update(hosts_at_work(ends))
        return seen == hosts

    until(all_were_seen, f"{hosts} all copying a chunk")


def until_it_begins_a_chunk(ends: Ends, host: str) -> None:
    """Wait until a host has a chunk, and its first batches are not in the ledger yet."""

    def begins() -> bool:
        chunk = hosts_at_work(ends).get(host)
        return chunk is not None and not chunk.acknowledged

    until(begins, f"{host} beginning a chunk")


def test_the_chunks_of_a_host_that_dies_are_copied_by_the_others(add_host: AddHost, tmp_path: Path) -> None:
    with servers(add_host("servers"), tmp_path) as (broker, ends):
        hosts = {name: add_host(name) for name in WORKERS}
        for host in hosts.values():
            start_worker(host, broker)
        running = start(ends, *SLOWLY, broker=broker)
        until_all_take_part(ends, set(hosts))
        until_it_begins_a_chunk(ends, "host-a")

        hosts["host-a"].kill()

        left = hosts_at_work(ends)["host-a"].index
        finish(running)
        assert arrived(ends)
        chunks = chunks_of(ends)
        assert {chunk.state for chunk in chunks} == {State.DONE}
        assert chunks[left].claims > 1
        assert sum(chunk.acknowledged for chunk in chunks) == POINTS


def test_a_host_that_is_cut_off_for_a_while_does_no_harm(network: Network, tmp_path: Path) -> None:
    with servers(network.add("servers"), tmp_path) as (broker, ends):
        hosts: dict[str, NamespaceHost] = {name: network.add(name) for name in WORKERS}
        for host in hosts.values():
            start_worker(host, broker)
        running = start(ends, *SLOWLY, broker=broker)
        until_all_take_part(ends, set(hosts))
        until_it_begins_a_chunk(ends, "host-a")

        network.set_link(hosts["host-a"], "down")
        left = hosts_at_work(ends)["host-a"].index
        until(lambda: chunks_of(ends)[left].claims > 1, "another host taking up the chunk")
        network.set_link(hosts["host-a"], "up")

        finish(running)
        assert arrived(ends)
        assert sum(chunk.acknowledged for chunk in chunks_of(ends)) == POINTS
