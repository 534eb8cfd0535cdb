"""`qmig pause`: let a migration rest."""

from typing import Any

import click

from qmig.cli.ledger import migration_argument, open_migration


@click.command()
@migration_argument
def pause(migration: str | None, **where: Any) -> None:
    """Let a migration rest: batches in flight end, every worker gives its chunk back within a second or so.

    MIGRATION is its id or a unique beginning of it; it may be left out where the ledger has just one.
    """
    from qmig.ledger import control

    with open_migration(migration, **where) as (ledger, record):
        control.pause(ledger, record)
        click.echo(f"{record.title} is paused; `qmig resume {record.migration}` goes on")
