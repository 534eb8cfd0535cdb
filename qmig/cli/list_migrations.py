"""`qmig list`: every migration in a ledger."""

from typing import Any

import click

from qmig.cli.global_options import global_options
from qmig.cli.ledger import json_option, open_ledger
from qmig.cli.options import target_options


@click.command()
@target_options
@json_option
@global_options
def list(as_json: bool, **where: Any) -> None:
    """List every migration in a ledger: its ends, where it stands, its rate, when it was started and finished.

    Where one is running, the ledger is looked at twice, two seconds apart, for the rate.
    """
    from qmig.cli.views.migrations_table import MigrationsTable
    from qmig.cli.views.terminal import TerminalOutput
    from qmig.ledger.find import migrations
    from qmig.monitor.poller import LedgerPoller, poll_repeatedly
    from qmig.monitor.status import to_json

    with open_ledger(**where) as ledger:
        there = migrations(ledger)
        statuses = next(poll_repeatedly(LedgerPoller(ledger)))
        if as_json:
            click.echo(to_json(statuses))
        elif there:
            with TerminalOutput() as picture:
                picture.show(MigrationsTable(statuses))
        else:
            click.echo(f"no migrations in the ledger {ledger.name!r} at {ledger.server.endpoint.url}")
