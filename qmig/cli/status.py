"""`qmig status`: all that there is to know of a migration, from the ledger alone."""

from typing import Any

import click

from qmig.cli.ledger import json_option, migration_argument, open_ledger
from qmig.cli.options import option


@click.command()
@migration_argument
@json_option
@option("--watch", "watch", is_flag=True, help="Go on until the migration ends, or Ctrl-C; JSON is a line a look.")
def status(migration: str | None, as_json: bool, watch: bool, **where: Any) -> None:
    """Say where a migration stands, from the ledger alone.

    The rate is
    over the last minute that this command has watched: while the migration is running it looks twice, two seconds
    apart.
    """
    from qmig.cli.views.status import status_picture
    from qmig.cli.views.terminal import TerminalOutput
    from qmig.ledger.find import find_migration
    from qmig.monitor.poller import LedgerPoller, poll_repeatedly
    from qmig.monitor.status import MigrationStatus, to_json

    with open_ledger(**where) as ledger, TerminalOutput(changing=watch) as picture:
        record = find_migration(ledger, migration)
        for statuses in poll_repeatedly(LedgerPoller(ledger, record.migration)):
            status: MigrationStatus = statuses[0]
            if as_json:
                click.echo(to_json(status, indent=None if watch else 2))
            else:
                picture.show(status_picture(status))
            if not watch or status.has_ended:
                break
