"""Open the fleet that a command uses: the broker's, or a local one."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import click

from qmig.broker.fleet import Fleet


@contextmanager
def open_fleet(broker_url: str | None, workers: int | None) -> Iterator[Fleet]:
    """Open the broker's fleet, or start Redis and `workers` processes on this machine for this command alone.

    UsageError where the broker cannot be used.
    """
    if not broker_url:
        from qmig.embedded.fleet import LocalFleet

        with LocalFleet(workers or os.cpu_count() or 1) as fleet:
            yield fleet
        return
    if workers:
        click.echo(
            f"warning: --workers {workers} has no effect with a broker: its workers are started with `qmig worker`",
            err=True,
        )
    with Fleet(broker_url) as fleet:
        check(fleet)
        yield fleet


def check(fleet: Fleet, waits: bool = False) -> None:
    """Check the broker, with a warning for each of its settings that is risky. UsageError where it cannot be used.

    A process that `waits` is only warned of what may pass by itself.
    """
    for warning in fleet.check(waits):
        click.echo(f"warning: {warning}", err=True)
