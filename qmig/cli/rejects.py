"""`qmig rejects`: the points that were skipped, from the ledger."""

import json
from dataclasses import asdict
from typing import Any

import click

from qmig.cli.ledger import migration_argument, open_migration


@click.command()
@migration_argument
@click.option("--json", "as_json", is_flag=True, help="One JSON object a point.")
def rejects(migration: str | None, as_json: bool, **where: Any) -> None:
    """List the points that could not be copied and were skipped, with the reasons."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from qmig.ledger.rejects import rejects_of

    with open_migration(migration, **where) as (ledger, record):
        found = rejects_of(ledger, record.migration)
    console = Console()
    if as_json:
        for one in found:
            click.echo(json.dumps(asdict(one), ensure_ascii=False))
    elif not found:
        click.echo("no point was skipped", err=True)
    elif console.is_terminal:
        table = Table("point", "chunk", "reason")
        for one in found:
            table.add_row(Text(one.point), str(one.chunk + 1), Text(one.reason))
        console.print(table)
    else:
        for one in found:
            click.echo(f"{one.point}  chunk {one.chunk + 1}  {one.reason}")
