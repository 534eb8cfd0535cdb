"""`qmig pause`, `resume`, `cancel` and `throttle`: control a running migration from any host."""

from typing import Any

import click

from qmig.cli.ledger import migration_argument, open_ledger, open_migration
from qmig.cli.options import broker_option, option


@click.command()
@migration_argument
def pause(migration: str | None, **where: Any) -> None:
    """Pause a running migration.

    Within about a second, workers finish their batches in flight and release their chunks.

    \b
    Example:
      qmig pause --target-url http://b:6334
    """
    from qmig.ledger import control

    with open_migration(migration, **where) as (ledger, record):
        control.pause(ledger, record)
        click.echo(f"{record.title} is paused; `qmig resume {record.migration}` continues it")


@click.command()
@migration_argument
@broker_option
def resume(migration: str | None, broker_url: str | None, **where: Any) -> None:
    """Resume a paused migration.

    The fleet queues its chunks within a few seconds. With --broker-url, the command also says if the fleet does not
    know the migration any more.

    \b
    Example:
      qmig resume --target-url http://b:6334
    """
    from qmig.ledger import control

    with open_migration(migration, **where) as (ledger, record):
        control.resume(ledger, record)
        click.echo(f"{record.title} is resumed")
        if broker_url:
            _supervise(broker_url, record.migration)


def _supervise(broker_url: str, migration: str) -> None:
    """Have the fleet continue a migration at once, with a warning where the broker does not know it."""
    import time

    from qmig.broker.fleet import SUPERVISE_EVERY, Fleet
    from qmig.errors import TransientError

    with Fleet(broker_url) as fleet:
        deadline = time.monotonic() + 2 * SUPERVISE_EVERY
        try:
            # A worker that remembers the migration registers it again, if the broker has lost it.
            while (task := fleet.registry.registration(migration)) is None and time.monotonic() < deadline:
                time.sleep(0.5)
            if task is not None:
                fleet.enqueue_supervision(task)
                return
            problem = f"the fleet on {fleet.shown_url} does not know this migration"
        except TransientError as error:
            problem = str(error)
    click.echo(f"warning: {problem}; the command that began it lets a fleet continue it", err=True)


@click.command()
@migration_argument
def cancel(migration: str | None, **where: Any) -> None:
    """Cancel a migration.

    It may be running, paused, stopped or failed. The points that were copied stay in the target. The command waits
    until the workers have released their chunks, and gives the target its final settings, also where the ledger was
    deleted. The command that began the migration can still continue it from the ledger.

    \b
    Example:
      qmig cancel --target-url http://b:6334
    """
    from functools import partial

    from qmig.ledger.cancel import cancel as end
    from qmig.ledger.cancel import cancel_lost
    from qmig.ledger.find import find_migration

    with open_ledger(**where) as ledger:
        if lost := cancel_lost(ledger, migration or ""):
            click.echo(f"{lost}; the points that were copied stay there")
            return
        record = find_migration(ledger, migration)
        is_new = end(ledger, record, partial(click.echo, err=True))
        how = "is cancelled" if is_new else "had been cancelled before"
        click.echo(f"{record.title} {how}; the points that were copied stay in the target")


@click.command()
@migration_argument
@option(
    "--max-rate",
    "max_rate",
    type=click.IntRange(0),
    required=True,
    metavar="N",
    help="Points per second over the whole fleet. 0 removes the limit.",
)
def throttle(migration: str | None, max_rate: int, **where: Any) -> None:
    """Limit the points per second that a migration copies, from now on.

    \b
    Example:
      qmig throttle --target-url http://b:6334 --max-rate 5000
    """
    from qmig.ledger import control

    with open_migration(migration, **where) as (ledger, record):
        control.throttle(ledger, record, max_rate or None)
        limit = f"limited to {max_rate:,} points/s" if max_rate else "no longer limited"
        click.echo(f"{record.title} is {limit}")
