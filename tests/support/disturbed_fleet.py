"""A fleet, two servers and a migration between them: each process can be killed and started again."""

from __future__ import annotations

import shutil
import signal
import sys
from contextlib import ExitStack, suppress
from pathlib import Path

import psutil
import redis

from qmig.embedded.child_process import ChildProcess
from qmig.embedded.redis import EmbeddedRedis
from qmig.ledger.ledger import Ledger
from qmig.ledger.records import ChunkRecord
from qmig.migration import Endpoint
from qmig.qdrant.server import Server
from tests.support.collections import contents, create, dense_params, fill, new_name, simple_points
from tests.support.qdrant_servers import Qdrant, qdrant_in
from tests.support.redelivery import deliver_again
from tests.support.scripted_proxy import Answering
from tests.support.tcp_proxy import Proxy
from tests.support.workers import begin_worker_of_another_version, start_workers

WORKER_HOSTS = 2
CONCURRENCY = 2
# Slow enough for several faults: about 1,500 points per second.
SLOWLY = ["-c", "--chunk-size", "2000", "-b", "100", "--batch-delay", "200"]


class DisturbedFleet:
    """Two servers, a Redis and worker hosts, which run while the context is open; `migrate` begins a migration."""

    def __init__(self, directory: Path, points: int) -> None:
        self.points = points
        self._directory = directory
        self._stack = ExitStack()
        self.servers: dict[str, Qdrant] = {role: qdrant_in(directory / role) for role in ("source", "target")}
        self.answering: dict[str, Answering] = {}
        # Before each server, and before Redis.
        self.proxies: dict[str, Proxy] = {}
        self.redis = EmbeddedRedis(directory / "redis")
        self.hosts: list[ChildProcess] = []
        self.coordinator: ChildProcess | None = None
        #: The same command, given again while the first one runs.
        self.second: ChildProcess | None = None
        #: A worker host of another version.
        self.other_version: ChildProcess | None = None
        self._direct: dict[str, Server] = {}
        self.names: dict[str, str] = {}

    def __enter__(self) -> DisturbedFleet:
        for role, server in self.servers.items():
            self._stack.callback(server.stop)
            server.start()
            endpoint = Endpoint.parse(server.url, role)
            self.answering[role] = self._stack.enter_context(Answering(endpoint))
            self.proxies[role] = self._stack.enter_context(Proxy(self.answering[role].port))
            self._direct[role] = self._stack.enter_context(Server(endpoint, role))
        self._stack.enter_context(self.redis)
        self.proxies["redis"] = self._stack.enter_context(Proxy(self.redis.port))
        self.names["source"] = new_name("source")
        create(self._direct["source"], self.names["source"], dense_params())
        fill(self._direct["source"], self.names["source"], simple_points(self.points))
        self._stack.callback(self._stop_processes)
        self.start_hosts()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    # The migration

    def migrate(self) -> None:
        """Begin another migration of the same source."""
        self.names |= {"target": new_name("target"), "ledger": new_name("ledger")}
        self.second = None
        self.call_again()

    def call_again(self) -> None:
        """Start the migration's command, for the first time or again."""
        self.coordinator = self._command()

    def call_beside(self) -> None:
        """Start the migration's command beside the one that runs, unless there are two already."""
        if self.second is None or not self.second.running:
            self.second = self._command()

    def _command(self) -> ChildProcess:
        command = [
            sys.executable, "-m", "qmig", "qdrant", *SLOWLY,
            "--source-url", self.proxies["source"].url, "--source-collection", self.names["source"],
            "--target-url", self.proxies["target"].url, "--target-collection", self.names["target"],
            "--migration-offsets-collection-name", self.names["ledger"],
        ]  # fmt: skip
        return ChildProcess(command, name="qmig qdrant", env={"QMIG_BROKER_URL": self.broker_url})

    @property
    def broker_url(self) -> str:
        return self.redis.url.replace(f":{self.redis.port}/", f":{self.proxies['redis'].port}/")

    @property
    def chunks(self) -> list[ChunkRecord]:
        ledger = Ledger(self._direct["target"], self.names["ledger"])
        (record,) = ledger.migrations()
        return ledger.chunks(record.migration, range(record.chunks))

    def difference(self) -> str | None:
        """Describe a difference between source and target, or a wrong count in the ledger; None if none exists."""
        source = contents(self._direct["source"], self.names["source"])
        target = contents(self._direct["target"], self.names["target"])
        if source != target:
            missing, extra = source.keys() - target.keys(), target.keys() - source.keys()
            return f"{len(missing)} points missing ({sorted(missing, key=int)[:20]}), {len(extra)} extra, or changed"
        counted = sum(chunk.acknowledged for chunk in self.chunks)
        return None if counted == self.points else f"the ledger counts {counted} points of {self.points}"

    # Processes

    def start_hosts(self) -> None:
        """Start worker hosts until there are `WORKER_HOSTS`."""
        self.hosts = [host for host in self.hosts if host.running]
        while len(self.hosts) < WORKER_HOSTS:
            self.hosts.append(start_workers(self.broker_url, CONCURRENCY))

    def children(self) -> list[psutil.Process]:
        """The worker processes of all hosts, in the order of their ids."""
        found: list[psutil.Process] = []
        for host in self.hosts:
            with suppress(psutil.NoSuchProcess):
                found += psutil.Process(host.pid).children()
        return sorted(found, key=lambda process: process.pid)

    def start_other_version(self) -> None:
        """Start a worker host of another version, which takes other tasks, unless one is there."""
        if self.other_version is None or not self.other_version.running:
            self.other_version = begin_worker_of_another_version(self.broker_url)

    def configure_redis(self, *command: str) -> None:
        """Send Redis a command that changes what it answers; `restore` starts it anew where it has ended."""
        with redis.Redis.from_url(self.redis.url) as client, suppress(redis.ConnectionError):
            client.execute_command(*command)

    def empty_redis(self) -> None:
        """Delete the data of Redis, which must not be running."""
        shutil.rmtree(self._directory / "redis")

    def deliver_again(self) -> None:
        """Deliver every waiting task once more."""
        with redis.Redis.from_url(self.redis.url) as client:
            deliver_again(client)

    def restore(self) -> None:
        """Start everything that has ended, and let the proxies pass everything."""
        for server in self.servers.values():
            server.start()
        self.redis.start()
        for proxy in self.proxies.values():
            proxy.restore()
        for answering in self.answering.values():
            answering.restore()
        self.start_hosts()

    def logs(self) -> str:
        """The last lines that each process wrote."""
        processes = [self.coordinator, self.second, self.other_version, *self.hosts]
        return "\n".join(
            f"--- {process.name} {process.pid}\n{process.read_stderr()[-3000:]}" for process in processes if process
        )

    def _stop_processes(self) -> None:
        for process in [self.coordinator, self.second, self.other_version, *self.hosts]:
            if process is not None and process.running:
                with suppress(psutil.NoSuchProcess):
                    psutil.Process(process.pid).send_signal(signal.SIGCONT)
                process.kill()
