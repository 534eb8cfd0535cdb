"""Hosts for the tests: network namespaces on a switch of their own, or process groups with host names of their own.

A namespace goes with the last process in it, and its links with it: nothing is left of a test, however it ends.
"""

import os
import random
import secrets
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import psutil

from qmig.embedded.child_process import ChildProcess

NAMESPACES = ("unshare", "--net", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc")
NAMES = ("unshare", "--uts")


class Host(Protocol):
    """A host: where it is, and what runs on it."""

    name: str
    address: str

    def run(self, command: Sequence[str], name: str, stdin: bytes = b"", **env: str) -> ChildProcess:
        """Start a program on the host."""

    def kill(self) -> None:
        """Send SIGKILL to every process of the host at once."""


AddHost = Callable[[str], Host]


class NamedHost:
    """Processes of this machine that see a host name of their own."""

    address = "127.0.0.1"

    def __init__(self, name: str) -> None:
        self.name = name
        self._processes: list[ChildProcess] = []

    def run(self, command: Sequence[str], name: str, stdin: bytes = b"", **env: str) -> ChildProcess:
        inside = [*NAMES, "sh", "-c", 'hostname "$0" && exec "$@"', self.name]
        self._processes.append(ChildProcess([*inside, *command], name=name, stdin=stdin, env=env))
        return self._processes[-1]

    def kill(self) -> None:
        for process in self._processes:
            process.kill()


class NamespaceHost:
    """Processes with a network, a host name and process ids of their own."""

    address = ""

    def __init__(self, name: str) -> None:
        self.name = name
        # The first process of the namespace: with it the kernel ends all others.
        starting = ["sh", "-c", 'hostname "$0" && ip link set lo up && echo is up && exec sleep infinity', name]
        self._first = ChildProcess([*NAMESPACES, *starting], name=f"host {name}")
        self._first.wait_for_line("is up")
        (init,) = psutil.Process(self._first.pid).children()
        self.pid = init.pid

    def run(self, command: Sequence[str], name: str, stdin: bytes = b"", **env: str) -> ChildProcess:
        inside = ["nsenter", f"--target={self.pid}", "--net", "--uts", "--pid", "--mount"]
        return ChildProcess([*inside, *command], name=name, stdin=stdin, env=env)

    def ip(self, *arguments: str) -> None:
        """The `ip` command in the host's network."""
        call(["nsenter", f"--target={self.pid}", "--net", "ip", *arguments])

    def kill(self) -> None:
        self._first.kill()


class Network:
    """Hosts on one switch, this process on it as well."""

    def __init__(self) -> None:
        # Of the addresses that are set aside for tests of networks (RFC 2544).
        self._prefix = f"198.{random.choice((18, 19))}.{random.randrange(256)}"
        self._switch = NamespaceHost("switch")
        self._switch.ip("link", "add", "switch", "type", "bridge")
        self._switch.ip("link", "set", "switch", "up")
        self._hosts: list[NamespaceHost] = []
        link = f"qmig-{secrets.token_hex(4)}"
        self._plug(os.getpid(), link, 254)
        call(["ip", "address", "add", f"{self._prefix}.254/24", "dev", link])
        call(["ip", "link", "set", link, "up"])

    def add(self, name: str) -> NamespaceHost:
        """A host that reaches the others and this process."""
        host = NamespaceHost(name)
        self._hosts.append(host)
        host.address = f"{self._prefix}.{len(self._hosts)}"
        self._plug(host.pid, "eth0", len(self._hosts))
        host.ip("address", "add", f"{host.address}/24", "dev", "eth0")
        host.ip("link", "set", "eth0", "up")
        return host

    def _plug(self, pid: int, link: str, port: int) -> None:
        peer = ("peer", "name", link, "netns", str(pid))
        self._switch.ip("link", "add", f"port{port}", "master", "switch", "type", "veth", *peer)
        self._switch.ip("link", "set", f"port{port}", "up")

    def set_link(self, host: NamespaceHost, state: str) -> None:
        """Disconnect a host from the network (`down`), or connect it again (`up`)."""
        self._switch.ip("link", "set", f"port{self._hosts.index(host) + 1}", state)

    def close(self) -> None:
        for host in (*self._hosts, self._switch):
            host.kill()


@contextmanager
def named_hosts() -> Iterator[AddHost]:
    """Makes hosts that have a name of their own and this machine's network."""
    hosts: list[NamedHost] = []

    def add(name: str) -> NamedHost:
        hosts.append(NamedHost(name))
        return hosts[-1]

    try:
        yield add
    finally:
        for host in hosts:
            host.kill()


def why_not(*command: str) -> str | None:
    """Why a command cannot be run on this machine; None where it can."""
    try:
        tried = subprocess.run(command, check=False, capture_output=True, text=True)
    except FileNotFoundError:
        return f"there is no {command[0]}"
    return None if tried.returncode == 0 else f"`{' '.join(command)}`: {tried.stderr.strip()}"


def call(command: Sequence[str]) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
