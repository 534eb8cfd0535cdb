"""The load of other programs during a measurement: on a shared machine a round may be worthless."""

from __future__ import annotations

import time
from collections.abc import Sequence

import psutil

from qmig.migration import Endpoint


class OtherLoad:
    """Cores taken by processes that are neither this one, its children, nor the servers where they run here."""

    def __init__(self, servers: Sequence[Endpoint]) -> None:
        ports = {server.port for server in servers if server.is_loopback}
        listening = psutil.net_connections("tcp")
        self._servers = {
            one.pid
            for one in listening
            if one.status == psutil.CONN_LISTEN and one.pid is not None and one.laddr.port in ports
        }

    def start(self) -> None:
        """Begin to count."""
        self._began = time.monotonic()
        self._busy, self._ours = _busy_seconds(), self._our_seconds()

    def cores(self, ended: float = 0.0) -> float:
        """Cores taken by others since `start`; `ended` are CPU seconds of children that have ended meanwhile."""
        busy = _busy_seconds() - self._busy - (self._our_seconds() - self._ours) - ended
        return max(0.0, busy / (time.monotonic() - self._began))

    def wait_for_quiet(self, cores: float, patience: float) -> None:
        """Wait until others take no more than `cores`, at most `patience` seconds."""
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            self.start()
            time.sleep(1.0)
            if self.cores() <= cores:
                return

    def _our_seconds(self) -> float:
        own = psutil.Process()
        # A server may be the child of what listens for it.
        roots = [own, *(psutil.Process(pid) for pid in self._servers if psutil.pid_exists(pid))]
        pids = {process.pid for root in roots for process in (root, *root.children(recursive=True))}
        return sum(map(_cpu_seconds, pids))


def _busy_seconds() -> float:
    times = psutil.cpu_times()
    return times.user + times.nice + times.system + times.irq + times.softirq + times.steal


def _cpu_seconds(pid: int) -> float:
    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return times.user + times.system
