"""A target that is a cluster of three nodes, each of which dies in turn in the middle of a migration."""

from collections.abc import Iterator
from dataclasses import replace

import psutil
import pytest

from qmig.migration import Endpoint
from qmig.qdrant import messages as api
from qmig.qdrant.server import Server
from qmig.qdrant.shard_keys import shard_keys
from tests.support.collections import contents, create, delete, dense, dense_params, fill, new_name, point
from tests.support.command import Run
from tests.support.ends import Ends
from tests.support.migrations import (
    LEISURELY,
    SLOWLY,
    arrived,
    chunks_of,
    copied,
    finish,
    own_fleet,
    start,
    until_copied,
    workers_on,
)
from tests.support.qdrant_cluster import QdrantCluster
from tests.support.qdrant_servers import executable
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(1200)

POINTS = 3000
ROLES = ["the node of the command", "second node", "third node"]
SPREAD = {"shard_number": 3, "replication_factor": 2}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[QdrantCluster]:
    with QdrantCluster(executable(), tmp_path_factory.mktemp("cluster")) as running:
        yield running


@pytest.fixture
def ends(cluster: QdrantCluster, source_server: Server) -> Iterator[Ends]:
    """A filled source, and a target whose shards have two replicas each, reached through the first node."""
    with Server(Endpoint.parse(cluster.nodes[0].url, "target"), "target") as target:
        made = Ends(source_server, target, new_name("source"), new_name("target"), new_name("ledger"))
        create(made.source, made.source_name, dense_params())
        fill(made.source, made.source_name, points(POINTS))
        create(made.target, made.target_name, dense_params(), **SPREAD)
        yield made
        cluster.restore()
        delete(made.source, made.source_name)
        delete(made.target, made.target_name)
        delete(made.target, made.ledger)


def points(count: int, tenants: int = 1) -> list[api.PointStruct]:
    return [point(key, dense([1.0, 2.0, 3.0, key % 997]), {"tenant": key % tenants}) for key in range(count)]


def through(ends: Ends, server: Server) -> Ends:
    return replace(ends, target=server)


@pytest.mark.parametrize("role", ROLES)
def test_a_dead_node_stops_nothing_but_its_own_clients(cluster: QdrantCluster, ends: Ends, role: str) -> None:
    dead = cluster.nodes[ROLES.index(role)]
    with own_fleet() as (redis, _):
        running = start(ends, *LEISURELY, broker=redis.url)
        until_copied(ends, 300)
        cluster.until_active(ends.ledger, ends.target_name)
        assert len(cluster.replica_states(ends.ledger)) == 2
        dead.kill()
        if dead is cluster.nodes[0]:
            # Nobody else answers at the URL of the command, so it waits.
            dead.start()
        finish(running)
        if dead is not cluster.nodes[0]:
            assert not dead.running
        assert arrived(ends)
        assert {chunk.claims for chunk in chunks_of(ends)} == {1}


@pytest.mark.parametrize("role", ROLES)
def test_a_node_that_hangs_is_left_out_and_taken_in_again(cluster: QdrantCluster, ends: Ends, role: str) -> None:
    hung = psutil.Process(cluster.nodes[ROLES.index(role)].pid)
    with own_fleet() as (redis, _):
        running = start(ends, *LEISURELY, broker=redis.url)
        until_copied(ends, 300)
        cluster.until_active(ends.ledger, ends.target_name)
        hung.suspend()
        try:
            if role == ROLES[0]:
                until(lambda: "not answered" in running.read_stderr(), "word of the wait", running)
                hung.resume()
            finish(running)
        finally:
            hung.resume()
    cluster.until_active(ends.ledger, ends.target_name)
    assert arrived(ends)


@pytest.mark.parametrize("role", ROLES)
def test_a_migration_begins_and_restarts_while_a_node_is_dead(
    cluster: QdrantCluster, ends: Ends, qmig: Run, role: str
) -> None:
    dead = cluster.nodes[ROLES.index(role)]
    alive = cluster.others(dead)[0]
    with Server(Endpoint.parse(alive.url, "target"), "target") as server, own_fleet() as (redis, workers):
        reachable = through(ends, server)
        dead.kill()
        running = start(reachable, *SLOWLY, broker=redis.url)
        until_copied(reachable, 300)
        running.kill()
        workers.kill()
        before = copied(reachable)
        with workers_on(redis.url, 2):
            result = qmig("qdrant", *reachable.arguments, broker=redis.url)
        assert result.returncode == 0, result.stderr
        assert f"all {POINTS:,} points are in the target" in result.stdout
        assert 0 < before < POINTS
        cluster.restore()
        assert qmig("status", *reachable.where).returncode == 0
        assert arrived(reachable)


def test_workers_that_meet_new_shard_keys_together_all_go_on(cluster: QdrantCluster, ends: Ends, qmig: Run) -> None:
    delete(ends.target, ends.target_name)
    create(ends.target, ends.target_name, dense_params(), sharding_method=api.Custom, replication_factor=2)
    tenants = 12
    fill(ends.source, ends.source_name, points(POINTS, tenants))
    routed = ["--target-shard-key-field", "tenant", "--chunk-size", "250"]
    with own_fleet(concurrency=4) as (redis, _):
        result = qmig("qdrant", *ends.arguments, *routed, broker=redis.url)
    assert result.returncode == 0, result.stderr
    assert [placement.key for placement in shard_keys(ends.target, ends.target_name)] == list(range(tenants))
    found: dict[str, bytes] = {}
    for key in range(tenants):
        found |= contents(ends.target, ends.target_name, str(key))
    assert found == contents(ends.source, ends.source_name)
    chunks = chunks_of(ends)
    assert not any(chunk.error for chunk in chunks)
    # No point was sent to a key that was not ready: Qdrant answers that as an internal error.
    assert not any("target internal" in chunk.retry_reasons for chunk in chunks)
    cluster.until_active(ends.target_name)


def test_a_shard_key_is_usable_while_a_node_is_dead(cluster: QdrantCluster, ends: Ends, qmig: Run) -> None:
    delete(ends.target, ends.target_name)
    create(ends.target, ends.target_name, dense_params(), sharding_method=api.Custom, replication_factor=2)
    cluster.nodes[2].kill()
    with own_fleet() as (redis, _):
        result = qmig("qdrant", *ends.arguments, "--target-shard-key", "7", broker=redis.url)
    assert result.returncode == 0, result.stderr
    assert [placement.key for placement in shard_keys(ends.target, ends.target_name)] == [7]
    assert contents(ends.target, ends.target_name, "7") == contents(ends.source, ends.source_name)
