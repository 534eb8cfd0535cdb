"""Following a migration to its end, and showing it: what the coordinator does once it has planned, and `attach`."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import Timer
from typing import NoReturn, Protocol

from qmig.broker.fleet import Fleet
from qmig.errors import Interrupted, TerminalError, TransientError
from qmig.formatting import pluralize
from qmig.ledger.ledger import Ledger
from qmig.ledger.records import ChunkRecord, State
from qmig.ledger.stalled import WORKERS_LOST, StalledChunks
from qmig.monitor.progress import Progress
from qmig.monitor.reader import ProgressReader

# Seconds between two looks at the ledger: often in a short run, and at no cost that counts in a long one.
LOOK_EVERY = 0.25
LOOK_EVERY_AT_MOST = 2.0
LOOKS_SLOW_DOWN_OVER = 300.0
# Seconds without any chunk at work until the fleet is asked who is there, and until it is asked again.
NO_WORKER_AFTER = 4.0
NO_WORKER_AGAIN = 15.0
SHOWN_WORKERS = 5
# Seconds without an answer of the target until that is said.
SILENT_AFTER = 5.0
# Seconds that workers get to give their chunks back after an interruption.
STOP_SECONDS = 30.0

_WAITING = {
    State.PAUSED: "paused; `qmig resume` goes on",
    State.CANCELLED: "cancelled; the fleet puts the target's settings back",
}


class View(Protocol):
    """Where a migration tells what happens."""

    def say(self, text: str) -> None: ...

    def warn(self, text: str) -> None: ...

    def show(self, progress: Progress) -> None: ...


class Follower:
    """Looks at one migration until it ends; `fleet`, if there is one, is asked who is there when nothing moves."""

    def __init__(self, watch: ProgressReader, fleet: Fleet | None, view: View) -> None:
        self._watch = watch
        self._fleet = fleet
        self._view = view
        self._began = self._idle_since = self._asked = time.monotonic()
        self._said: str | None = None
        self._stalled = StalledChunks()

    def follow(self, between: Callable[[float], None]) -> Progress:
        """Look until the migration ends; `between` gets the seconds until the next look, and may raise.

        TerminalError where it failed, was cancelled or was stopped by another.
        """
        while True:
            try:
                with self._told_of_silence():
                    progress = self._watch.refresh()
            except TransientError as error:
                self._view.warn(f"{error}; trying again")
                between(LOOK_EVERY_AT_MOST)
                continue
            self._view.show(progress)
            if self._has_ended():
                for notice in self._watch.reconciliation.notices:
                    self._view.warn(notice)
                return progress
            self._raise_ledger_failure()
            self._tell(progress)
            slower = (LOOK_EVERY_AT_MOST - LOOK_EVERY) * (time.monotonic() - self._began) / LOOKS_SLOW_DOWN_OVER
            between(min(LOOK_EVERY_AT_MOST, LOOK_EVERY + slower))

    def stop(self, ledger: Ledger) -> NoReturn:
        """Let the batches in flight end and every chunk be given back; Interrupted says how far it was."""
        self._view.say("stopping: the batches in flight may end …")
        progress, record = self._watch.refresh(), self._watch.record
        while record.state in (State.RUNNING, State.PAUSED):
            if ledger.change_migration(record, state=State.STOPPED):
                break
            # It was steered, or ended, this moment.
            progress, record = self._watch.refresh(), self._watch.record
        deadline = time.monotonic() + STOP_SECONDS
        while self._at_work(progress) and time.monotonic() < deadline:
            time.sleep(LOOK_EVERY)
            progress = self._watch.refresh()
            self._view.show(progress)
        raise Interrupted(
            f"stopped at {progress.points:,} points; everything acknowledged is in the ledger {ledger.name!r}, and "
            "the same command goes on from there"
        )

    @contextmanager
    def _told_of_silence(self) -> Iterator[None]:
        """Say so where the target takes long to answer: a server that hangs is given up much later."""
        text = f"target {self._watch.url} has not answered for {SILENT_AFTER:g} s; waiting"
        timer = Timer(SILENT_AFTER, self._view.warn, [text])
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _at_work(self, progress: Progress) -> bool:
        """Whether a worker that is there has a chunk."""
        return len(self._stalled.find(progress.running, time.monotonic())) < len(progress.running)

    def _has_ended(self) -> bool:
        record = self._watch.record
        if record.state == State.FAILED:
            raise TerminalError(record.error or "the migration failed")
        if record.state == State.CANCELLED and record.finished is not None:
            raise TerminalError("the migration was cancelled; the same command goes on from the ledger")
        if record.state == State.STOPPED:
            raise TerminalError("the migration was stopped elsewhere; the same command goes on from the ledger")
        return record.state == State.DONE

    def _raise_ledger_failure(self) -> None:
        """TerminalError where workers cannot write the ledger: it will say nothing any more."""
        if self._fleet is None:
            return
        try:
            trouble = self._fleet.registry.ledger_failure(self._watch.record.run)
        except TransientError:
            # The ledger is what counts, and it can be read.
            return
        if trouble is not None:
            raise TerminalError(f"{trouble}; put it right, and the same command goes on from the ledger")

    def _tell(self, progress: Progress) -> None:
        """Say what it waits for, once, and that nobody is at it."""
        record = self._watch.record
        waiting = _WAITING.get(record.state) or record.waiting
        if waiting is not None and waiting != self._said:
            self._view.warn(f"{waiting}; waiting")
        self._said = waiting
        now = time.monotonic()
        gone = self._stalled.find(progress.running, now)
        if len(gone) < len(progress.running) or waiting is not None:
            self._idle_since = now
        elif now - self._idle_since >= NO_WORKER_AFTER and now - self._asked >= NO_WORKER_AFTER:
            self._asked = now + NO_WORKER_AGAIN
            self._ask_for_workers(gone, record.planned and progress.all_finished)

    def _ask_for_workers(self, gone: Sequence[ChunkRecord], at_the_end: bool) -> None:
        if self._fleet is None:
            if gone:
                self._view.warn(f"{pluralize(len(gone), 'chunk')}: {WORKERS_LOST}; waiting")
            return
        try:
            everybody = self._fleet.registry.workers()
        except TransientError as error:
            self._view.warn(f"{error}; trying again")
            return
        workers = [worker for worker in everybody if worker.queue == self._fleet.queue_name]
        if everybody and not workers:
            strangers = "; ".join(
                self._fleet.describe_secret_mismatch(worker) for worker in everybody[:SHOWN_WORKERS]
            )
            self._view.warn(
                f"no worker on {self._fleet.shown_url} can take part: {strangers}; give them all the same secret and "
                "start them again; waiting"
            )
        elif not workers:
            self._view.warn(
                f"no worker answers on {self._fleet.shown_url}; start some with `qmig worker --broker-url …` on any "
                "host; waiting"
            )
        elif at_the_end:
            self._view.say("every chunk is copied; the books are being checked")
        elif time.monotonic() - self._idle_since >= NO_WORKER_AGAIN:
            # Until then they may be on the way to their first chunk.
            self._view.warn(
                f"{len(workers)} workers answer on {self._fleet.shown_url} and none is at this migration: they are "
                "at other chunks, or refuse it, and their logs say why; waiting"
            )
