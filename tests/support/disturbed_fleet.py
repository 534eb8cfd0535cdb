"""A fleet, and the commands of a migration over it: each process can be killed and started again."""

from __future__ import annotations

import shutil
import signal
import sys
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Self

import psutil
import redis

from qmig.embedded.child_process import ChildProcess
from qmig.embedded.redis import EmbeddedRedis
from qmig.ledger.records import State
from tests.support.disturbed_servers import DisturbedServers
from tests.support.redelivery import deliver_again
from tests.support.tcp_proxy import Proxy
from tests.support.waiting import until
from tests.support.workers import begin_worker_of_another_version, start_workers

WORKER_HOSTS = 2
CONCURRENCY = 2
# Slow enough for several faults: about 1,500 points per second.
SLOWLY = ["-c", "--chunk-size", "2000", "-b", "100", "--batch-delay", "200"]
RESTART = "--restart-migration"
# Seconds for `qmig pause` and its like after a fault: a cancellation waits until dead workers' leases have expired.
CONTROL_SECONDS = 240.0


class DisturbedFleet:
    """Two servers, a Redis and worker hosts, which run while the context is open; `migrate` begins a migration."""

    def __init__(self, directory: Path, points: int) -> None:
        self._directory = directory
        self._stack = ExitStack()
        self.ends = DisturbedServers(directory, points)
        self.redis = EmbeddedRedis(directory / "redis")
        #: Before each server, and before Redis.
        self.proxies: dict[str, Proxy] = {}
        self.hosts: list[ChildProcess] = []
        self.coordinator: ChildProcess | None = None
        #: The same command, given again while the first one runs.
        self.second: ChildProcess | None = None
        #: `qmig pause` or another command that controls the migration.
        self.control: ChildProcess | None = None
        #: A worker host of another version.
        self.other_version: ChildProcess | None = None
        #: `--retry-for` of the migration.
        self.retry_for = ""

    def __enter__(self) -> Self:
        self._stack.enter_context(self.ends)
        self._stack.enter_context(self.redis)
        self.proxies = {**self.ends.proxies, "redis": self._stack.enter_context(Proxy(self.redis.port))}
        self._stack.callback(self._stop_processes)
        self.start_hosts()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    # The migration and its commands

    def migrate(self, retry_for: str, is_target_aliased: bool) -> None:
        """Begin another migration of the same source."""
        self.ends.begin(is_target_aliased)
        self.retry_for = retry_for
        self.second = self.control = None
        self.call_again()

    def call_again(self) -> None:
        """Start the migration's command, for the first time or again."""
        self.coordinator = self._command()

    def call_beside(self, *arguments: str) -> None:
        """Start the migration's command beside the one that runs, unless there are two already."""
        if self.second is None or not self.second.running:
            self.second = self._command(*arguments)

    @property
    def is_restarting(self) -> bool:
        """Whether a command that was to begin the migration again still runs."""
        return self.second is not None and self.second.running and RESTART in self.second.name

    def control_with(self, verb: str) -> None:
        """Start `qmig pause`, `resume` or `cancel`, unless one of them runs."""
        if self.control is None or not self.control.running:
            command = [
                sys.executable, "-m", "qmig", verb, "--target-url", self.proxies["target"].url,
                "--migration-offsets-collection-name", self.ends.names["ledger"],
            ]  # fmt: skip
            self.control = ChildProcess(command, name=f"qmig {verb}")

    def settle_control(self, by_same_command: bool) -> None:
        """Wait for the command that controls the migration, and resume the migration where that has paused it."""
        if self.control is None:
            return
        self._until_controlled()
        if self.ends.state == State.PAUSED and by_same_command and not (self.second and self.second.running):
            self.second = second = self._command()
            until(lambda: self.ends.state != State.PAUSED or not second.running, "the resumption")
        while self.ends.state == State.PAUSED:
            self.control_with("resume")
            self._until_controlled()
        self.control = None

    def _until_controlled(self) -> None:
        """Wait for the end of the controlling command. It may be refused, because the migration has changed."""
        control = self.control
        assert control is not None
        until(lambda: not control.running, f"the end of {control.name}", within=CONTROL_SECONDS)
        assert control.wait() in (0, 1, 2), control.last_lines()
        assert "Traceback" not in control.read_stderr(), control.read_stderr()

    def _command(self, *arguments: str) -> ChildProcess:
        command = [
            sys.executable, "-m", "qmig", "qdrant", *SLOWLY, "--retry-for", self.retry_for,
            "--source-url", self.proxies["source"].url, "--source-collection", self.ends.given["source"],
            "--target-url", self.proxies["target"].url, "--target-collection", self.ends.given["target"],
            "--migration-offsets-collection-name", self.ends.names["ledger"], *arguments,
        ]  # fmt: skip
        name = " ".join(["qmig qdrant", *arguments])
        return ChildProcess(command, name=name, env={"QMIG_BROKER_URL": self.broker_url})

    @property
    def broker_url(self) -> str:
        return self.redis.url.replace(f":{self.redis.port}/", f":{self.proxies['redis'].port}/")

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
        self.ends.restore()
        self.redis.start()
        self.proxies["redis"].restore()
        self.start_hosts()

    def logs(self) -> str:
        """The last lines that each process wrote."""
        return "\n".join(
            f"--- {process.name} {process.pid}\n{process.read_stderr()[-3000:]}" for process in self._processes
        )

    @property
    def _processes(self) -> list[ChildProcess]:
        commands = [self.coordinator, self.second, self.control, self.other_version]
        return [*filter(None, commands), *self.hosts]

    def _stop_processes(self) -> None:
        for process in self._processes:
            if process.running:
                with suppress(psutil.NoSuchProcess):
                    psutil.Process(process.pid).send_signal(signal.SIGCONT)
                process.kill()
