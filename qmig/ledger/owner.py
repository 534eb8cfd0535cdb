"""The owner of a claim: which process on which host, and whether it is known to be dead."""

import hashlib
import os
import socket
import uuid
from pathlib import Path

import psutil


def new_owner() -> str:
    """A name for one claim by this process: `host/pid/…`, never used twice."""
    process = psutil.Process()
    return f"{socket.gethostname()}/{process.pid}/{_started(process)}/{_machine()}/{uuid.uuid4().hex[:8]}"


def owner_is_dead(owner: str) -> bool:
    """Whether the owner's process ran on this machine and is gone; False wherever that cannot be known."""
    if not owner:
        return False
    host, pid, started, machine, _ = owner.split("/")
    if (host, machine) != (socket.gethostname(), _machine()):
        return False
    try:
        process = psutil.Process(int(pid))
        return _started(process) != started or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _started(process: psutil.Process) -> str:
    """When the process began. On Linux in ticks since the boot: psutil's time moves whenever the clock is set, and a
    living owner would be taken for dead."""
    try:
        stat = Path(f"/proc/{process.pid}/stat").read_bytes()
    except OSError:
        return f"{process.create_time():.2f}"
    # `starttime`, the 22nd field (proc_pid_stat(5)); the second, the name in brackets, may hold anything.
    return stat.rpartition(b")")[2].split()[19].decode()


def _machine() -> str:
    """This boot and this PID namespace: two containers may share a host name, and a reboot reuses PIDs."""
    boot, namespace = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")
    try:
        identity = boot.read_text() + os.readlink(namespace)
    except OSError:
        identity = f"{uuid.getnode()}{psutil.boot_time()}"
    return hashlib.sha256(identity.encode()).hexdigest()[:8]
