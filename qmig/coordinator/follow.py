"""Follow a migration or a verification to its end, and report its progress."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import Timer
from typing import NoReturn, Protocol

from qmig.broker.fleet import Fleet
from qmig.broker.registry import WorkerInfo
from qmig.coordinator.patience import Patience
from qmig.coordinator.results import Result
from qmig.errors import Interrupted, QmigError, TerminalError, TransientError
from qmig.formatting import pluralize, short_duration
from qmig.ledger.records import ChunkRecord, State
from qmig.ledger.stalled import WORKERS_LOST, StalledChunks
from qmig.monitor.progress import Progress
from qmig.monitor.reader import ProgressReader
from qmig.monitor.waits import waits_of

#: Seconds between two reads of the ledger at the start: a short migration is followed closely.
MIN_FOLLOW_INTERVAL = 0.25
#: Seconds between two reads of the ledger later on, so that the cost of following a long migration is negligible.
MAX_FOLLOW_INTERVAL = 2.0
#: Seconds after which the interval has grown from its minimum to its maximum.
FOLLOW_SLOWS_DOWN_OVER = 300.0
#: Seconds without a running chunk before the fleet is asked for its workers.
NO_WORKER_AFTER = 4.0
#: Seconds before the fleet is asked again.
NO_WORKER_AGAIN = 15.0
#: Seconds that the workers which a command starts itself may take.
LOCAL_WORKERS_START_WITHIN = 30.0
#: Workers with another secret or version that one warning names.
MAX_WORKERS_NAMED = 5
#: Seconds without an answer of the target before a warning says so.
SILENT_AFTER = 5.0
#: Seconds after which nobody is expected to end a cancelled migration any more.
CANCEL_SECONDS = 30.0
#: Seconds that workers have after an interruption to release their chunks.
STOP_SECONDS = 30.0

_OWED = "; until then the target has no vector index, which `qmig cancel` puts back"
_STATES_THAT_WAIT = {
    State.PAUSED: "paused; `qmig resume` continues it",
    State.CANCELLED: "cancelled; the target's settings are put back when no worker holds a chunk any more",
}


class View(Protocol):
    """The output of a command for messages, warnings and progress."""

    def say(self, text: str) -> None: ...

    def warn(self, text: str) -> None: ...

    def show(self, progress: Progress) -> None: ...


class Follower:
    """Follows one migration until it ends. With a `fleet`, it checks for workers when no chunk is running."""

    def __init__(
        self,
        reader: ProgressReader,
        fleet: Fleet | None,
        view: View,
        began: float | None = None,
        period: str = "in this run",
    ) -> None:
        """`began` is when the command began, by the monotonic clock; now by default."""
        self._reader = reader
        self._fleet = fleet
        self._view = view
        self._began = time.monotonic() if began is None else began
        self._period = period
        self._idle_since = self._asked = time.monotonic()
        self._cancelled_since: float | None = None
        self._points_before: int | None = None
        self._reported: str | None = None
        self._servers_away: set[str] = set()
        self._is_silence_said = False
        self._stalled = StalledChunks()
        self._patience = Patience(view.warn)

    def follow(self, on_wait: Callable[[float], None]) -> Result:
        """Read the ledger until the migration ends. `on_wait` gets the seconds until the next read, and may raise.

        TerminalError where the migration failed, was cancelled, or was stopped by another command.
        """
        while True:
            try:
                with self._warning_of_silence(), self._reader.ledger.server.without_retries():
                    progress = self._reader.refresh()
            except TransientError as error:
                self._patience.wait(str(error), self._reader.retry_for)
                on_wait(MAX_FOLLOW_INTERVAL)
                continue
            self._patience.end()
            self._is_silence_said = False
            if self._points_before is None:
                self._points_before = progress.points
            self._view.show(progress)
            if self._is_done():
                return self._result(progress, progress.points - self._points_before)
            self._raise_ledger_failure()
            self._raise_if_left_cancelled(progress)
            self._report_waiting(progress)
            growth = (time.monotonic() - self._began) / FOLLOW_SLOWS_DOWN_OVER
            slower = (MAX_FOLLOW_INTERVAL - MIN_FOLLOW_INTERVAL) * growth
            on_wait(min(MAX_FOLLOW_INTERVAL, MIN_FOLLOW_INTERVAL + slower))

    def stop(self) -> NoReturn:
        """Stop the migration: batches in flight end, workers release their chunks, then Interrupted is raised."""
        self._view.say("stopping: waiting for the batches in flight …")
        try:
            self._stop()
        except TransientError as error:
            raise Interrupted(
                f"interrupted, but the stop could not be recorded: {error}; workers of a fleet go on when the target "
                "answers again, and the same command joins them or resumes"
            ) from None

    def _stop(self) -> NoReturn:
        ledger = self._reader.ledger
        progress, record = self._reader.refresh(), self._reader.record
        while record.state in (State.RUNNING, State.PAUSED):
            if ledger.change_migration(record, state=State.STOPPED):
                break
            # Another command changed its state, or it ended, at this moment.
            progress, record = self._reader.refresh(), self._reader.record
        deadline = time.monotonic() + STOP_SECONDS
        while self._has_workers(progress) and time.monotonic() < deadline:
            time.sleep(MIN_FOLLOW_INTERVAL)
            progress = self._reader.refresh()
            self._view.show(progress)
        raise Interrupted(
            f"stopped at {progress.points:,} points; everything acknowledged is in the ledger {ledger.name!r}, and "
            f"the same command resumes from there{_OWED if record.final_settings else ''}"
        )

    def _result(self, progress: Progress, points: int) -> Result:
        reconciliation = self._reader.reconciliation
        for notice in reconciliation.notices:
            self._view.warn(notice)
        seconds = time.monotonic() - self._began
        return Result(self._reader.record, progress, reconciliation, points, seconds, self._period)

    @contextmanager
    def _warning_of_silence(self) -> Iterator[None]:
        """Warn once while the target takes long to answer: a call to a server that hangs fails only much later."""

        def warn() -> None:
            if not self._is_silence_said:
                self._is_silence_said = True
                url = self._reader.ledger.server.endpoint.url
                self._view.warn(f"target {url} has not answered for {SILENT_AFTER:g} s; waiting")

        timer = Timer(SILENT_AFTER, warn)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _has_workers(self, progress: Progress) -> bool:
        """Whether a running chunk has a worker that is alive."""
        return len(self._stalled.find(progress.running, time.monotonic())) < len(progress.running)

    def _is_done(self) -> bool:
        record = self._reader.record
        if record.state == State.FAILED:
            raise TerminalError(record.error or "the migration failed")
        if record.state == State.CANCELLED and record.finished is not None:
            raise TerminalError("the migration was cancelled; the same command resumes from the ledger")
        if record.state == State.STOPPED:
            by_command = "the migration was stopped by another command; the same command resumes from the ledger"
            raise TerminalError(record.error or by_command)
        return record.state == State.DONE

    def _raise_if_left_cancelled(self, progress: Progress) -> None:
        """TerminalError where a migration is cancelled, and neither a worker nor `qmig cancel` ends it."""
        if self._reader.record.state != State.CANCELLED or self._has_workers(progress):
            self._cancelled_since = None
            return
        now = time.monotonic()
        if self._cancelled_since is None:
            self._cancelled_since = now
        if now - self._cancelled_since > CANCEL_SECONDS:
            raise TerminalError(
                "the migration was cancelled, but nobody puts the target's settings back; "
                f"`qmig cancel {self._reader.record.migration}` does so"
            )

    def _raise_ledger_failure(self) -> None:
        """TerminalError where workers cannot write the ledger: then its records no longer change."""
        if self._fleet is None:
            return
        try:
            failure = self._fleet.registry.ledger_failure(self._reader.record.run)
        except TransientError:
            # The registry may be unavailable. The ledger can be read, and it alone counts.
            return
        if failure is not None:
            raise TerminalError(f"{failure}; when this is fixed, the same command resumes from the ledger")

    def _report_waiting(self, progress: Progress) -> None:
        """Warn, once, of what the migration waits for, and where no worker copies its chunks."""
        record = self._reader.record
        waiting = _STATES_THAT_WAIT.get(record.state) or record.waiting
        if waiting is not None and waiting != self._reported:
            self._view.warn(f"{waiting}; waiting")
        self._reported = waiting
        waits = waits_of(progress.running)
        for wait in waits:
            if wait.server not in self._servers_away:
                self._view.warn(f"{wait.text}; waiting up to {short_duration(self._reader.retry_for)} (--retry-for)")
        self._servers_away = {wait.server for wait in waits}
        now = time.monotonic()
        stalled = self._stalled.find(progress.running, now)
        if len(stalled) < len(progress.running) or waiting is not None:
            self._idle_since = now
        elif now - self._idle_since >= NO_WORKER_AFTER and now - self._asked >= NO_WORKER_AFTER:
            self._asked = now + NO_WORKER_AGAIN
            self._report_workers(stalled, record.planned and progress.all_finished)

    def _report_workers(self, stalled: Sequence[ChunkRecord], all_finished: bool) -> None:
        """Say why no chunk is running, as far as the fleet's workers explain it."""
        if self._fleet is None:
            if stalled:
                self._view.warn(f"{pluralize(len(stalled), 'chunk')}: {WORKERS_LOST}; waiting")
            return
        try:
            online = self._fleet.registry.workers()
            if not online:
                # A broker that refuses writes knows no worker either: their heartbeats are lost.
                self._fleet.ask()
        except QmigError as error:
            self._view.warn(f"{error}; waiting")
            return
        workers = [worker for worker in online if worker.queue == self._fleet.queue_name]
        if not workers:
            self._report_no_workers(self._fleet, online)
        elif all_finished:
            comparison = self._reader.record.comparison
            so_far = "" if comparison is None else f": {comparison.ids_so_far:,} so far"
            self._view.say(f"every chunk is copied; ids are being compared{so_far}")
        elif time.monotonic() - self._idle_since >= NO_WORKER_AGAIN:
            # Before that, workers may still be about to claim their first chunk.
            self._view.warn(
                f"{pluralize(len(workers), 'worker answers', 'workers answer')} on {self._fleet.shown_url}, but none "
                "copies this migration's chunks: they are busy with other chunks, or refuse these and log the "
                "reason; waiting"
            )

    def _report_no_workers(self, fleet: Fleet, others: Sequence[WorkerInfo]) -> None:
        """Say that the broker, which answers, knows no worker that takes these tasks."""
        if fleet.is_local:
            # This command started them itself, and starts them again where they end.
            if time.monotonic() - self._idle_since >= LOCAL_WORKERS_START_WITHIN:
                self._view.warn("the local workers have not started yet; waiting")
        elif others:
            mismatches = "; ".join(map(fleet.describe_mismatch, others[:MAX_WORKERS_NAMED]))
            self._view.warn(
                f"no worker on {fleet.shown_url} can take part: {mismatches}; give all of them the same secret and "
                "the same version of qmig, and start them again; waiting"
            )
        else:
            self._view.warn(
                f"no worker answers on {fleet.shown_url}; start some with `qmig worker --broker-url …` on any host; "
                "waiting"
            )
