"""`qmig rejects`: list the rejects of a migration."""

import json
from dataclasses import asdict
from typing import Any

import click

from qmig.cli.ledger import migration_argument, open_migration, warn_of_malformed


@click.command()
@migration_argument
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per point, each on its own line.")
def rejects(migration: str | None, as_json: bool, **where: Any) -> None:
    """List the points that could not be copied, with the reasons.

    \b
    Example:
      qmig rejects --target-url http://b:6334 --json
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from qmig.ledger.collection import Malformed
    from qmig.ledger.rejects import rejects_of

    malformed: Malformed = {}
    with open_migration(migration, **where) as (ledger, record):
        rejected = rejects_of(ledger, record.migration, malformed=malformed)
    warn_of_malformed(malformed)
    console = Console()
    if as_json:
        for reject in rejected:
            click.echo(json.dumps(asdict(reject), ensure_ascii=False))
    elif not rejected and not malformed:
        click.echo("the migration has no rejects", err=True)
    elif console.is_terminal:
        table = Table("point", "chunk", "reason")
        for reject in rejected:
            table.add_row(Text(reject.point), str(reject.chunk + 1), Text(reject.reason))
        console.print(table)
    else:
        for reject in rejected:
            click.echo(f"{reject.point}  chunk {reject.chunk + 1}  {reject.reason}")
