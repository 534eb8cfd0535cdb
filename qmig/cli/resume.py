"""`qmig resume`: go on with a paused migration."""

from typing import Any

import click

from qmig.cli.steering import migration_argument, open_ledger


@click.command()
@migration_argument
def resume(migration: str | None, **where: Any) -> None:
    """Go on with a paused migration; the fleet queues its chunks within a few seconds.

    MIGRATION is its id or a unique beginning of it; it may be left out where the ledger has just one.
    """
    from qmig import steering
    from qmig.lookup import find_migration

    with open_ledger(**where) as ledger:
        record = find_migration(ledger, migration)
        steering.resume(ledger, record)
        click.echo(f"{record.title} goes on")
