"""The two servers of a migration that is disturbed: each can be killed, cut off and started again.

Where $QMIG_TEST_QDRANT names an executable, the target is a cluster, and any of its nodes may die.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from qmig.ledger.ledger import Ledger
from qmig.ledger.records import MigrationRecord, State
from qmig.migration import Endpoint
from qmig.qdrant import messages as api
from qmig.qdrant.debt import Debt
from qmig.qdrant.server import Server
from tests.support.aliases import point_alias
from tests.support.collections import (
    contents,
    count,
    create,
    delete,
    dense,
    dense_params,
    exists,
    fill,
    info,
    new_name,
    point,
    simple_points,
)
from tests.support.qdrant_cluster import QdrantCluster
from tests.support.qdrant_servers import EXECUTABLE_VARIABLE, Qdrant, qdrant_in
from tests.support.scripted_proxy import Answering
from tests.support.tcp_proxy import Proxy

SPREAD = {"shard_number": 3, "replication_factor": 2}
#: Points shown in a difference.
MAX_SHOWN = 20


class DisturbedServers:
    """A source, which is named by an alias, and a target. They run while the context is open."""

    def __init__(self, directory: Path, points: int) -> None:
        self.points = points
        self._stack = ExitStack()
        real = os.environ.get(EXECUTABLE_VARIABLE)
        #: The target, where it is a cluster. Its first node answers the migration.
        self.cluster = QdrantCluster(real, directory / "target") if real else None
        target = self.cluster.nodes[0] if self.cluster else qdrant_in(directory / "target")
        self.servers: dict[str, Qdrant] = {"source": qdrant_in(directory / "source"), "target": target}
        self.answering: dict[str, Answering] = {}
        #: Before each server.
        self.proxies: dict[str, Proxy] = {}
        self._direct: dict[str, Server] = {}
        #: The own names of source, target and ledger.
        self.names: dict[str, str] = {}
        #: The names in the command: an alias, or the own name.
        self.given: dict[str, str] = {}
        #: Collections that an alias is moved to; nobody may read or write them.
        self._others: dict[str, str] = {}
        #: Ends whose alias points to the other collection.
        self.moved: set[str] = set()

    def __enter__(self) -> Self:
        if self.cluster is not None:
            self._stack.enter_context(self.cluster)
        for role, server in self.servers.items():
            self._stack.callback(server.stop)
            server.start()
            endpoint = Endpoint.parse(server.url, role)
            self.answering[role] = self._stack.enter_context(Answering(endpoint))
            self.proxies[role] = self._stack.enter_context(Proxy(self.answering[role].port))
            self._direct[role] = self._stack.enter_context(Server(endpoint, role))
            self._others[role] = new_name("other")
            create(self._direct[role], self._others[role], dense_params())
        self._fill_source()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _fill_source(self) -> None:
        """Fill the source, and the other collection with other points under the same ids."""
        source = self._direct["source"]
        self.names["source"], self.given["source"] = new_name("source"), new_name("alias")
        create(source, self.names["source"], dense_params())
        point_alias(source, self.given["source"], self.names["source"])
        fill(source, self.names["source"], simple_points(self.points))
        wrong = [point(key, dense([0.0] * 4), {"wrong": True}) for key in range(self.points)]
        fill(source, self._others["source"], wrong)

    def begin(self, is_aliased: bool) -> None:
        """Choose another target and another ledger; an alias may name the target."""
        target = self._direct["target"]
        for role in {"target", "ledger"} & self.names.keys():
            delete(target, self.names[role])
        name = new_name("target")
        self.names |= {"target": name, "ledger": new_name("ledger")}
        self.given["target"] = new_name("alias") if is_aliased else name
        if is_aliased or self.cluster is not None:
            create(target, name, dense_params(), **(SPREAD if self.cluster is not None else {}))
        if is_aliased:
            point_alias(target, self.given["target"], name)

    # Aliases

    def is_aliased(self, role: str) -> bool:
        """Whether the command names this end by an alias."""
        return self.given[role] != self.names[role]

    def move_alias(self, role: str) -> None:
        """Point the alias of this end to the other collection, until `restore`."""
        point_alias(self._direct[role], self.given[role], self._others[role])
        self.moved.add(role)

    # Faults end

    def restore(self) -> None:
        """Start what has ended, let the proxies pass everything, and point aliases back."""
        for server in self.servers.values():
            server.start()
        if self.cluster is not None:
            self._restore_cluster(self.cluster)
        for proxy in self.proxies.values():
            proxy.restore()
        for answering in self.answering.values():
            answering.restore()
        for role in self.moved:
            point_alias(self._direct[role], self.given[role], self.names[role])
        self.moved.clear()

    def _restore_cluster(self, cluster: QdrantCluster) -> None:
        """Start the nodes that have died. No other node may die before every replica is active again."""
        if not all(node.running for node in cluster.nodes):
            cluster.restore()
        names = [self.names["target"], self.names["ledger"]]
        cluster.until_active(*(name for name in names if exists(self._direct["target"], name)))

    # The ledger and the contents

    @property
    def ledger(self) -> Ledger:
        return Ledger(self._direct["target"], self.names["ledger"])

    @property
    def record(self) -> MigrationRecord | None:
        """The migration's record, once it has one."""
        return next(iter(self.ledger.migrations()), None) if self.ledger.exists() else None

    @property
    def state(self) -> State | None:
        """The migration's state, once it has a record."""
        record = self.record
        return None if record is None else State(record.state)

    def difference(self) -> str | None:
        """Describe what is not as it has to be after the end of a migration; None where all is right."""
        source = contents(self._direct["source"], self.names["source"])
        target = contents(self._direct["target"], self.names["target"])
        if source != target:
            missing, extra = source.keys() - target.keys(), target.keys() - source.keys()
            changed = [key for key in source.keys() & target.keys() if source[key] != target[key]]
            return (
                f"{len(missing)} points missing ({sorted(missing, key=int)[:MAX_SHOWN]}), {len(extra)} extra, "
                f"{len(changed)} changed ({sorted(changed, key=int)[:MAX_SHOWN]})"
            )
        if strangers := count(self._direct["target"], self._others["target"]):
            return f"{strangers} points in a collection that an alias was moved to"
        return self._difference_in_ledger() or self._difference_in_settings()

    def _difference_in_ledger(self) -> str | None:
        record = self.record
        assert record is not None
        chunks = self.ledger.chunks(record.migration, range(record.chunks))
        if open_chunks := [chunk for chunk in chunks if chunk.state != State.DONE or chunk.owner]:
            return f"the migration is {record.state}, with chunks that are not done: {open_chunks}"
        counted = sum(chunk.acknowledged for chunk in chunks)
        return None if counted == self.points else f"the ledger counts {counted} points of {self.points}"

    def _difference_in_settings(self) -> str | None:
        """The target is owed nothing, and its vector index is on."""
        found: api.CollectionInfo = info(self._direct["target"], self.names["target"])
        optimizers = found.config.optimizer_config
        if optimizers.HasField("indexing_threshold") and not optimizers.indexing_threshold:
            return "the target's vector index is off"
        debt = Debt.of(found)
        return f"the target is owed {debt.keys}" if debt.keys else None
