"""The owner of a lease: one claim of a chunk by one process."""

import hashlib
import os
import re
import socket
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
import psutil

#: An owner as text, `host/pid/started/machine/nonce`, or an empty text for nobody.
OWNER_PATTERN = r"\A([^/]+/[0-9]{1,20}(/[^/]*){3})?\Z"
#: The owner of a chunk that no worker holds.
NOBODY = ""

OwnerText = Annotated[str, msgspec.Meta(pattern=OWNER_PATTERN)]


@dataclass(frozen=True)
class Owner:
    """The process that claimed a chunk, and which of its claims this is."""

    host: str
    #: The process' id on its host.
    pid: int
    #: When the process started, which tells it from an earlier one with the same id.
    started: str
    #: The boot and the PID namespace in which `pid` counts.
    machine: str
    #: Random, so that no two claims have the same owner.
    nonce: str

    @classmethod
    def new(cls) -> "Owner":
        """The owner of a new claim by this process."""
        process = psutil.Process()
        return cls(socket.gethostname(), process.pid, _started(process), _machine(), uuid.uuid4().hex[:8])

    @classmethod
    def parse(cls, text: str) -> "Owner":
        """Read an owner from the text that the ledger has; ValueError where it names none."""
        if not text or not re.match(OWNER_PATTERN, text):
            raise ValueError(f"not an owner: {text!r}")
        host, pid, started, machine, nonce = text.split("/")
        return cls(host, int(pid), started, machine, nonce)

    def __str__(self) -> str:
        return f"{self.host}/{self.pid}/{self.started}/{self.machine}/{self.nonce}"

    @property
    def worker(self) -> str:
        """The worker's name for people, `host/pid`."""
        return f"{self.host}/{self.pid}"

    @property
    def is_dead(self) -> bool:
        """Whether the process ran on this machine and has ended; False where that cannot be known."""
        if (self.host, self.machine) != (socket.gethostname(), _machine()):
            return False
        try:
            process = psutil.Process(self.pid)
            return _started(process) != self.started or process.status() == psutil.STATUS_ZOMBIE
        except (psutil.NoSuchProcess, OverflowError):
            return True


def _started(process: psutil.Process) -> str:
    """The time when the process started; on Linux in ticks since the boot.

    psutil's time changes whenever the clock is set, and a living owner would then be taken for dead.
    """
    try:
        stat = Path(f"/proc/{process.pid}/stat").read_bytes()
    except OSError:
        return f"{process.create_time():.2f}"
    # `starttime`, the 22nd field (proc_pid_stat(5)); the second, the name in brackets, may hold anything.
    return stat.rpartition(b")")[2].split()[19].decode()


def _machine() -> str:
    """Identify this boot and PID namespace: two containers may share a host name, and a reboot reuses PIDs."""
    boot, namespace = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")
    try:
        identity = boot.read_text() + os.readlink(namespace)
    except OSError:
        identity = f"{uuid.getnode()}{psutil.boot_time()}"
    return hashlib.sha256(identity.encode()).hexdigest()[:8]
