"""How every migrating command runs: survey, fleet, migration, and the closing lines."""

import logging
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from qmig.coordinator import Coordinator, Wishes
from qmig.errors import Interrupted
from qmig.fleet import Fleet
from qmig.live import LiveView
from qmig.migration import Migration
from qmig.sealing import Credentials
from qmig.summary import describe_survey, describe_summary

log = logging.getLogger(__name__)


class Interruption:
    """Ctrl-C or SIGTERM: the first asks to stop after the batches in flight, the second leaves at once."""

    def __init__(self) -> None:
        self._signalled = False

    def __call__(self) -> bool:
        return self._signalled

    def note(self, _signal: int, _frame: FrameType | None) -> None:
        if self._signalled:
            raise Interrupted("interrupted again: left without waiting; the same command goes on from the ledger")
        self._signalled = True


@contextmanager
def interruption() -> Iterator[Interruption]:
    """Watch for Ctrl-C and SIGTERM."""
    noted = Interruption()
    before = {number: signal.signal(number, noted.note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield noted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run(
    migration: Migration,
    credentials: Credentials,
    wishes: Wishes,
    broker_url: str | None,
    workers: int | None,
    dry_run: bool,
) -> None:
    """Run a migration, or with `dry_run` print what it would do."""
    with interruption() as interrupted, LiveView(migration.title) as view:
        fleet = Fleet(broker_url) if broker_url else _local_fleet(workers or os.cpu_count() or 1)
        with fleet, Coordinator(migration, credentials, wishes, view) as coordinator:
            survey = coordinator.survey()
            for notice in survey.notices:
                view.say(notice)
            for warning in survey.warnings:
                view.warn(warning)
            if dry_run:
                view.close()
                print(describe_survey(migration, survey, coordinator.plan(survey)))
                return
            fleet.check()
            summary = coordinator.run(fleet, survey, interrupted)
            view.close()
            print(describe_summary(migration, summary))
            sys.stdout.flush()


def _local_fleet(workers: int) -> Fleet:
    from qmig.local_fleet import LocalFleet

    return LocalFleet(workers)
