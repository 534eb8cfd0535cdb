"""`qmig list`: list the migrations of a ledger."""

from typing import Any

import click

from qmig.cli.global_options import global_options
from qmig.cli.ledger import json_option, open_ledger, warn_of_malformed
from qmig.cli.options import target_options


@click.command()
@target_options
@json_option
@global_options
def list(as_json: bool, **where: Any) -> None:
    """List the migrations of a ledger: source and target, state, points, rate, start and end.

    While a migration is running, the ledger is read twice, two seconds apart, to measure its rate.

    \b
    Example:
      qmig list --target-url http://b:6334
    """
    from qmig.cli.views.migrations_table import MigrationsTable
    from qmig.cli.views.terminal import TerminalOutput
    from qmig.ledger.collection import Malformed
    from qmig.ledger.find import migrations
    from qmig.monitor.poller import LedgerPoller, poll_repeatedly
    from qmig.monitor.status import to_json

    with open_ledger(**where) as ledger:
        malformed: Malformed = {}
        records = migrations(ledger, malformed)
        warn_of_malformed(malformed)
        statuses = next(poll_repeatedly(LedgerPoller(ledger)))
        if as_json:
            click.echo(to_json(statuses))
        elif records:
            with TerminalOutput() as output:
                output.show(MigrationsTable(statuses))
        elif not malformed:
            click.echo(f"there are no migrations in the ledger {ledger.name!r} at {ledger.server.endpoint.url}")
