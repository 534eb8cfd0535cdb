"""`qmig pause`, `resume`, `cancel` and `throttle`: control a running migration from any host."""

from typing import Any

import click

from qmig.cli.ledger import migration_argument, open_migration
from qmig.cli.options import option


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
def resume(migration: str | None, **where: Any) -> None:
    """Resume a paused migration.

    The fleet queues its chunks within a few seconds.

    \b
    Example:
      qmig resume --target-url http://b:6334
    """
    from qmig.ledger import control

    with open_migration(migration, **where) as (ledger, record):
        control.resume(ledger, record)
        click.echo(f"{record.title} is resumed")


@click.command()
@migration_argument
def cancel(migration: str | None, **where: Any) -> None:
    """Cancel a migration.

    The points that were copied stay in the target, and the fleet puts the target's settings into their final state.
    The command that began the migration can still continue it from the ledger.

    \b
    Example:
      qmig cancel --target-url http://b:6334
    """
    from qmig.ledger import control

    with open_migration(migration, **where) as (ledger, record):
        control.cancel(ledger, record)
        click.echo(f"{record.title} is cancelled; the points that were copied stay in the target")


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
