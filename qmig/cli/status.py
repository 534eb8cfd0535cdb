"""`qmig status`: show the status of a migration, from the ledger alone."""

from typing import Any

import click

from qmig.cli.ledger import json_option, migration_argument, open_ledger
from qmig.cli.options import broker_option, option


@click.command()
@migration_argument
@json_option
@option(
    "--watch",
    "watch",
    is_flag=True,
    help="Repeat every two seconds until the migration ends. With --json, print one line each time.",
)
@broker_option
def status(migration: str | None, as_json: bool, watch: bool, broker_url: str | None, **where: Any) -> None:
    """Show the status of a migration, from the ledger alone.

    While the migration is running, the ledger is read twice, two seconds apart, to measure the rate. With --watch,
    the rate covers the last minute. With --watch and --broker-url, the migration is registered again if the broker
    loses it.

    \b
    Example:
      qmig status --target-url http://b:6334 --watch
    """
    from contextlib import nullcontext

    from qmig.broker.fleet import Fleet
    from qmig.broker.remembered import RememberedMigrations
    from qmig.cli.views.status import status_table
    from qmig.cli.views.terminal import TerminalOutput
    from qmig.ledger.find import find_migration
    from qmig.monitor.poller import LedgerPoller, poll_repeatedly
    from qmig.monitor.status import MigrationStatus, to_json

    with (
        open_ledger(**where) as ledger,
        Fleet(broker_url) if watch and broker_url else nullcontext() as fleet,
        TerminalOutput(changing=watch) as output,
    ):
        remembered = RememberedMigrations()
        record = find_migration(ledger, migration)
        for statuses in poll_repeatedly(LedgerPoller(ledger, record.migration)):
            status: MigrationStatus = statuses[0]
            if as_json:
                click.echo(to_json(status, indent=None if watch else 2))
            else:
                output.show(status_table(status))
            if not watch or status.has_ended:
                break
            remembered.watch(fleet)
