"""`qmig throttle`: limit a migration's points a second while it runs."""

from typing import Any

import click

from qmig.cli.ledger import migration_argument, open_migration
from qmig.cli.options import option


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
    """Limit a migration's points a second over the whole fleet, from now on.

    MIGRATION is its id or a unique beginning of it; it may be left out where the ledger has just one.
    """
    from qmig.ledger import control

    with open_migration(migration, **where) as (ledger, record):
        control.throttle(ledger, record, max_rate or None)
        limit = f"limited to {max_rate:,} points/s" if max_rate else "no longer limited"
        click.echo(f"{record.title} is {limit}")
