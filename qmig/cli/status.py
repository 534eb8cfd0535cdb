"""`qmig status`: where migrations stand, from the ledger alone."""

from typing import Any

import click

from qmig.cli.steering import migration_argument, open_ledger


@click.command()
@migration_argument
def status(migration: str | None, **where: Any) -> None:
    """Say where a migration stands, from the ledger alone; without a MIGRATION, every one in the ledger.

    MIGRATION is its id or a unique beginning of it.
    """
    from qmig.status import describe_status

    with open_ledger(**where) as ledger:
        click.echo(describe_status(ledger, migration))
