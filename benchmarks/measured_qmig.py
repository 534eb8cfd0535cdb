"""qmig on a warm fleet, with what it took: seconds, CPU and memory of every process of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import Any

import psutil
from other_load import OtherLoad

from qmig.broker.url import BROKER_VARIABLE
from qmig.embedded.child_process import ChildProcess
from qmig.embedded.redis import EmbeddedRedis

# Seconds until a run is given up.
RUN_TIMEOUT = 1800


@dataclass(frozen=True)
class Run:
    """One run of `qmig`. Seconds: of the command, of the migration as it says itself, and of the copying alone,
    from the first chunk taken up to the last one done. Memory in MiB: the highest of any worker at any time.
    `others`: cores that others took meanwhile."""

    command: float
    migration: float
    copying: float
    workers_cpu: float
    coordinator_cpu: float
    worker_memory: float
    coordinator_memory: float
    others: float


class WarmFleet:
    """Redis and `qmig worker` processes of the benchmark's own."""

    def __init__(self, concurrency: int, load: OtherLoad) -> None:
        self._load = load
        self._concurrency = concurrency
        self._redis = EmbeddedRedis()
        self._worker: ChildProcess | None = None

    def __enter__(self) -> WarmFleet:
        self._redis.start()
        self.start_workers()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop_workers()
        self._redis.stop()

    def start_workers(self) -> None:
        """Start the workers and wait until they are there."""
        self._worker = ChildProcess(
            [sys.executable, "-m", "qmig", "worker", "--concurrency", str(self._concurrency)],
            name="qmig worker",
            env={BROKER_VARIABLE: self._redis.url},
        )
        self._worker.wait_for_log("ready.")

    def stop_workers(self) -> None:
        if self._worker is not None:
            self._worker.stop()
            self._worker = None

    def migrate(self, *arguments: str, kind: str = "qdrant", stop_after: float | None = None) -> Run:
        """Run `qmig qdrant`, or another kind; with `stop_after` seconds it is interrupted then."""
        for child in self._children():
            reset_peak_memory(child.pid)
        watch = CopyingTime(self._redis.url)
        before = self._cpu_seconds()
        self._load.start()
        began = time.monotonic()
        with tempfile.TemporaryFile("w+") as stdout, tempfile.TemporaryFile("w+") as stderr:
            process = subprocess.Popen(
                [sys.executable, "-m", "qmig", kind, *arguments],
                stdout=stdout,
                stderr=stderr,
                env={**os.environ, BROKER_VARIABLE: self._redis.url},
            )
            status, usage, memory = self._watch(process, began, stop_after)
            command = time.monotonic() - began
            coordinator_cpu = usage.ru_utime + usage.ru_stime
            others = self._load.cores(ended=coordinator_cpu)
            cpu = self._cpu_seconds() - before
            stdout.seek(0)
            stderr.seek(0)
            said, errors = stdout.read(), stderr.read()
        if status != 0 and stop_after is None:
            raise SystemExit(f"qmig ended with status {status}: {errors.strip() or said.strip()}")
        return Run(
            command=command,
            migration=_reported_seconds(said),
            copying=watch.end(),
            workers_cpu=cpu,
            coordinator_cpu=coordinator_cpu,
            worker_memory=max((peak_memory(child.pid) for child in self._children()), default=0.0),
            coordinator_memory=memory,
            others=others,
        )

    def _watch(
        self, process: subprocess.Popen[Any], began: float, stop_after: float | None
    ) -> tuple[int, Any, float]:
        """Wait for the end: exit status, resource usage, and the peak memory seen last."""
        memory = 0.0
        while True:
            memory = max(memory, peak_memory(process.pid))
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
            if pid:
                process.returncode = os.waitstatus_to_exitcode(status)
                return process.returncode, usage, memory
            elapsed = time.monotonic() - began
            if stop_after is not None and elapsed >= stop_after:
                process.terminate()
                stop_after = None
            if self._worker is not None and not self._worker.running:
                process.kill()
                raise SystemExit("the worker has ended; nothing can be measured")
            if elapsed > RUN_TIMEOUT:
                process.kill()
            time.sleep(0.02)

    def _children(self) -> list[psutil.Process]:
        return psutil.Process(self._worker.pid).children(recursive=True) if self._worker is not None else []

    def _cpu_seconds(self) -> float:
        """User and system time of the workers' children and of the process that leads them."""
        if self._worker is None:
            return 0.0
        times = [process.cpu_times() for process in (psutil.Process(self._worker.pid), *self._children())]
        return sum(one.user + one.system for one in times)


class CopyingTime:
    """Listens to Celery's events for the first chunk taken up and the last one done."""

    def __init__(self, broker_url: str) -> None:
        from celery import Celery

        self._app = Celery("benchmark", broker=broker_url)
        self._received: list[float] = []
        self._done: list[float] = []
        self._stop = False
        self._thread = Thread(target=self._listen, daemon=True)
        self._thread.start()
        time.sleep(0.5)

    def _listen(self) -> None:
        handlers = {
            "task-received": lambda event: self._received.append(event["timestamp"]),
            "task-succeeded": lambda event: self._done.append(event["timestamp"]),
        }
        with self._app.connection_for_read() as connection:
            receiver = self._app.events.Receiver(connection, handlers=handlers)
            while not self._stop:
                try:
                    receiver.capture(limit=None, timeout=0.3, wakeup=False)
                except TimeoutError:
                    continue

    def end(self) -> float:
        """Stop listening; the seconds between the two."""
        time.sleep(0.5)
        self._stop = True
        self._thread.join()
        return max(self._done) - min(self._received) if self._done and self._received else 0.0


def peak_memory(pid: int) -> float:
    """The highest resident set of a process so far, in MiB; 0 where it has ended (proc(5), VmHWM)."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(found[1]) / 1024 if found else 0.0


def reset_peak_memory(pid: int) -> None:
    """Let VmHWM begin again at what is resident now (proc(5), clear_refs)."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def _reported_seconds(said: str) -> float:
    found = re.search(r"points in ([\d.]+) s in this run", said)
    return float(found[1]) if found else 0.0
