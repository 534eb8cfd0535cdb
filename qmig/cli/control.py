"""`qmig pause`, `resume`, `cancel` and `throttle`: control a migration from any host."""

from typing import Any

import click

from qmig.cli.ledger import migration_argument, open_migration
from qmig.cli.options import option


@click.command()
@migration_argument
def pause(migration: str | None, **where: Any) -> None:
    """Let a migration rest: batches in flight end, every worker gives its chunk back within a second or so."""
    from qmig.ledger import control

    with open_migration(migration, **where) as (ledger, record):
        control.pause(ledger, record)
        click.echo(f"{record.title} is paused; `qmig resume {record.migration}` goes on")


@click.command()
@migration_argument
def resume(migration: str | None, **where: Any) -> None:
    """Go on with a paused migration; the fleet queues its chunks within a few seconds."""
    from qmig.ledger import control

    with open_migration(migration, **where) as (ledger, record):
        control.resume(ledger, record)
        click.echo(f"{record.title} goes on")


@click.command()
@migration_argument
def cancel(migration: str | None, **where: Any) -> None:
    """End a migration before its time; what it copied stays, and the target's settings are put back.

    The command that began it can still go on with it from the ledger.
    """
    from qmig.ledger import control

    with open_migration(migration, **where) as (ledger, record):
        control.cancel(ledger, record)
        click.echo(f"{record.title} is cancelled; what is in the target stays there")


@click.command()
@migration_argument
@option(
    "--max-rate",
    "max_rate",
    type=click.IntRange(0),
    required=True,
    metavar="N",
    help="Points a second over the whole fleet; 0 lifts the limit.",
)
def throttle(migration: str | None, max_rate: int, **where: Any) -> None:
    """Limit a migration's points a second over the whole fleet, from now on."""
    from qmig.ledger import control

    with open_migration(migration, **where) as (ledger, record):
        control.throttle(ledger, record, max_rate or None)
        limit = f"limited to {max_rate:,} points/s" if max_rate else "no longer limited"
        click.echo(f"{record.title} is {limit}")
