"""`qmig cancel`: end a migration before its time."""

from typing import Any

import click

from qmig.cli.ledger import migration_argument, open_migration


@click.command()
@migration_argument
def cancel(migration: str | None, **where: Any) -> None:
    """End a migration before its time; what it copied stays, and the target's settings are put back.

    The command that began it can still go on with it from the ledger.

    MIGRATION is its id or a unique beginning of it; it may be left out where the ledger has just one.
    """
    from qmig.ledger import control

    with open_migration(migration, **where) as (ledger, record):
        control.cancel(ledger, record)
        click.echo(f"{record.title} is cancelled; what is in the target stays there")
