"""A cluster of real Qdrant nodes, each of which a test may kill and start again with its data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from qmig.embedded.child_process import ChildProcess, free_port
from qmig.errors import QmigError
from qmig.migration import Endpoint
from qmig.qdrant import messages as api
from qmig.qdrant.server import Server
from tests.support.collections import create, delete, dense_params, new_name
from tests.support.qdrant_servers import RealQdrant
from tests.support.waiting import until

NODES = 3


class Node(RealQdrant):
    """One node. It joins the cluster of the node `first` at its first start."""

    def __init__(self, executable: str, path: Path, first: Node | None, settings: Mapping[str, str]) -> None:
        self._p2p_port = free_port()
        self._first = first
        self._has_joined = False
        cluster = {"CLUSTER__ENABLED": "true", "CLUSTER__P2P__PORT": str(self._p2p_port)}
        super().__init__(executable, path, {**cluster, **settings})

    @property
    def _uri(self) -> str:
        return f"http://127.0.0.1:{self._p2p_port}"

    @property
    def _arguments(self) -> Sequence[str]:
        joins = self._first is not None and not self._has_joined
        return ["--uri", self._uri, *(["--bootstrap", self._first._uri] if joins and self._first else [])]

    def _launch(self) -> ChildProcess:
        process = super()._launch()
        self._has_joined = True
        return process


class QdrantCluster:
    """A cluster of `NODES` nodes, all of them running when it is entered."""

    def __init__(self, executable: str, path: Path, settings: Mapping[str, str] | None = None) -> None:
        self.nodes: list[Node] = []
        for number in range(NODES):
            first = self.nodes[0] if self.nodes else None
            self.nodes.append(Node(executable, path / f"node{number}", first, settings or {}))
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        for node in self.nodes:
            self._stack.callback(node.stop)
        self.restore()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def restore(self) -> None:
        """Start the nodes that do not run, and wait until all of them can take part in a new collection."""
        for node in self.nodes:
            node.start()
        until(self._takes_everyone, "a cluster of all nodes", *(node.process for node in self.nodes if node.process))

    def others(self, node: Node) -> list[Node]:
        """The nodes beside this one."""
        return [other for other in self.nodes if other is not node]

    def replica_states(self, collection: str, node: Node | None = None) -> list[int]:
        """The states of all replicas of a collection, as a node sees them."""
        with _server(node or self.nodes[0]) as server:
            request = api.CollectionClusterInfoRequest(collection_name=collection)
            cluster = server.call(server.collections.CollectionClusterInfo, request)
            return [shard.state for shard in (*cluster.local_shards, *cluster.remote_shards)]

    def until_active(self, *collections: str) -> None:
        """Wait until every replica of these collections is active, as every node sees them."""
        until(
            lambda: all(
                state == api.ReplicaState.Active
                for name in collections
                for node in self.nodes
                for state in self.replica_states(name, node)
            ),
            f"active replicas of {', '.join(collections)}",
        )

    def _takes_everyone(self) -> bool:
        """Whether a collection can be created with a replica on every node, from each of them."""
        for node in self.nodes:
            name = new_name("everyone")
            with _server(node) as server:
                try:
                    create(server, name, dense_params(), shard_number=1, replication_factor=NODES)
                    if self.replica_states(name, node) != [api.ReplicaState.Active] * NODES:
                        return False
                except QmigError:
                    return False
                finally:
                    try:
                        delete(server, name)
                    except QmigError:
                        return False
        return True


def _server(node: Node) -> Server:
    return Server(Endpoint.parse(node.url, "node"), "target")
