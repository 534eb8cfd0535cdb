"""`qmig resume`: go on with a paused migration."""

from typing import Any

import click

from qmig.cli.ledger import migration_argument, open_migration


@click.command()
@migration_argument
def resume(migration: str | None, **where: Any) -> None:
    """Go on with a paused migration; the fleet queues its chunks within a few seconds.

    MIGRATION is its id or a unique beginning of it; it may be left out where the ledger has just one.
    """
    from qmig.ledger import control

    with open_migration(migration, **where) as (ledger, record):
        control.resume(ledger, record)
        click.echo(f"{record.title} goes on")
