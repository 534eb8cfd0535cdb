"""Random faults at random moments for as long as a migration takes, and its contents compared at the end.

The seed decides which faults come in which order, how long each lasts and what lies between them.
"""

from __future__ import annotations

import random
import signal
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from qmig.embedded.child_process import ChildProcess
from qmig.ledger.records import State
from tests.support.disturbed_fleet import DisturbedFleet
from tests.support.faults import ALIAS_MOVED, FAULTS, NODE
from tests.support.qdrant_servers import EXECUTABLE_VARIABLE

# Seconds that a migration gets to end when nothing happens to it any more.
PATIENCE = 240.0
# Seconds between two faults, and that one lasts: most are short, some outlast a lease.
PAUSES = (0.5, 4.0)
SHORT, LONG = (0.2, 5.0), (16.0, 22.0)
LONG_ONES = 0.15
TWO_AT_ONCE = 0.3
# `--retry-for`: longer than any fault, or shorter than the long ones.
RETRY_FOR = ["1h", "12s"]
# Commands after the last fault: one that ends as `ALLOWED` says is given again.
MAX_COMMANDS = 10

BEGINNING = "another command is beginning"
#: Parts of the last line of a command that may end with an error, by a part of the fault that has to come before it.
ALLOWED = {
    ALIAS_MOVED: ["point the alias there again"],
    "second command": [BEGINNING],
    "begins again": [BEGINNING, "was begun again by another command"],
    "cancelled": ["was cancelled"],
    "": ["(--retry-for)"],
}
#: The same for a command that ends before it shows its progress: what does not answer is not waited for then.
ALLOWED_AT_FIRST = {
    "redis": ["Error: the broker redis://"],
    "source": ["Error: source http://"],
    "target": ["Error: target http://"],
}
# Stands in each line of progress.
PROGRESS = " → "


@dataclass
class Mix:
    """One run of faults; `log` is what was done, a line each."""

    seed: int
    points: int
    say: Callable[[str], object] = print
    log: list[str] = field(default_factory=list)
    #: The faults of the migration that runs.
    _faults: set[str] = field(default_factory=set)
    _began: float = field(default_factory=time.monotonic)

    def run(self, seconds: float) -> None:
        """One migration after another until the time is over; AssertionError with seed and log where one fails."""
        rng = random.Random(self.seed)
        with (
            tempfile.TemporaryDirectory(prefix="qmig-faults-") as directory,
            DisturbedFleet(Path(directory), self.points) as fleet,
        ):
            if fleet.ends.cluster is None:
                self._note(f"no node of a cluster dies: ${EXECUTABLE_VARIABLE} names no executable of Qdrant")
            began = time.monotonic()
            while True:
                self._faults.clear()
                fleet.migrate(rng.choice(RETRY_FOR), is_target_aliased=rng.random() < 0.5)
                self._note(f"a migration begins: {fleet.ends.given}, --retry-for {fleet.retry_for}")
                try:
                    self._disturb(fleet, rng, began + seconds)
                    self._settle(fleet)
                except AssertionError as error:
                    log = "\n".join(self.log)
                    raise AssertionError(f"seed {self.seed}: {error}\n{log}\n{fleet.logs()}") from error
                self._note("equal contents")
                if time.monotonic() - began > seconds:
                    return

    def _disturb(self, fleet: DisturbedFleet, rng: random.Random, end: float) -> None:
        """Begin faults at random until the migration or the time is over."""
        kinds = sorted(kind for kind in FAULTS if fleet.ends.cluster is not None or kind != NODE)
        while time.monotonic() < end:
            pause = rng.uniform(*PAUSES)
            chosen = rng.sample(kinds, 2 if rng.random() < TWO_AT_ONCE else 1)
            faults = {name: FAULTS[kind][name] for kind in sorted(chosen) for name in [rng.choice([*FAULTS[kind]])]}
            lasting = rng.uniform(*(LONG if rng.random() < LONG_ONES else SHORT))
            by_same_command = rng.random() < 0.5
            if self._ended_within(fleet, pause):
                return
            self._note(f"{' and '.join(faults)} for {lasting:.1f} s")
            self._faults.update(faults)
            # In the order of the kinds: an alias is moved while its server still answers.
            ends = [begin(fleet, rng) for begin in faults.values()]
            ended = self._ended_within(fleet, lasting)
            for undo in ends:
                if undo is not None:
                    undo()
            fleet.restore()
            fleet.settle_control(by_same_command)
            if ended:
                return
            if fleet.coordinator is not None and not fleet.coordinator.running:
                self._ended_well(fleet.coordinator)
                self._call_again(fleet)

    def _ended_within(self, fleet: DisturbedFleet, seconds: float) -> bool:
        """Whether the migration's command ends within so long, with status 0."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            assert fleet.coordinator is not None
            if not fleet.coordinator.running and self._ended_well(fleet.coordinator):
                return True
            time.sleep(0.1)
        return False

    def _ended_well(self, command: ChildProcess) -> bool:
        """Whether a command has ended with status 0; otherwise it was killed, or has to say why it ended."""
        status, last = command.wait(), command.last_lines()
        allowed = self._allowed(ALLOWED)
        if PROGRESS not in command.read_stderr() + command.read_stdout():
            allowed += self._allowed(ALLOWED_AT_FIRST)
        is_allowed = status == -signal.SIGKILL or (status in (1, 2) and any(text in last for text in allowed))
        assert status == 0 or is_allowed, f"{command.name} ended with {status}: {last}"
        return status == 0

    def _allowed(self, texts: dict[str, list[str]]) -> list[str]:
        """The texts that the faults of this migration allow."""
        return [
            text for part in texts if any(part in fault.lower() for fault in self._faults) for text in texts[part]
        ]

    def _settle(self, fleet: DisturbedFleet) -> None:
        """See the migration to its end: a command that had to give up is given again."""
        for _ in range(MAX_COMMANDS):
            self._until_ended(fleet.coordinator)
            self._until_ended(fleet.second)
            if fleet.ends.state == State.DONE:
                break
            self._call_again(fleet)
        assert (difference := fleet.ends.difference()) is None, difference

    def _call_again(self, fleet: DisturbedFleet) -> None:
        assert fleet.coordinator is not None
        _, is_error, error = fleet.coordinator.read_stderr().rpartition("Error: ")
        before = error.strip()[:200] if is_error else f"status {fleet.coordinator.wait()}"
        self._note(f"the same command again; before: {before}")
        fleet.call_again()

    def _until_ended(self, command: ChildProcess | None) -> None:
        if command is not None:
            deadline = time.monotonic() + PATIENCE
            while command.running and time.monotonic() < deadline:
                time.sleep(0.1)
            assert not command.running, f"{command.name}: no end within {PATIENCE:g} s after the last fault"
            self._ended_well(command)

    def _note(self, what: str) -> None:
        self.log.append(f"{time.monotonic() - self._began:6.1f} s  {what}")
        self.say(self.log[-1])
