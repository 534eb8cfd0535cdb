"""`qmig attach`: show a migration live, from any host."""

from typing import Any

import click

from qmig.cli.ledger import migration_argument, open_migration
from qmig.cli.options import broker_option, quiet_option


@click.command()
@migration_argument
@broker_option
@quiet_option
def attach(migration: str | None, broker_url: str | None, quiet: bool, **where: Any) -> None:
    """Show a migration live until it ends.

    Ctrl-C ends the view, not the migration. With --broker-url, the view also says when no worker is online, and
    registers the migration again if the broker loses it.

    \b
    Example:
      qmig attach --target-url http://b:6334
    """
    import time
    from contextlib import nullcontext

    from qmig.broker.fleet import Fleet
    from qmig.broker.remembered import RememberedMigrations
    from qmig.cli.interrupt import interruption
    from qmig.cli.migrate import print_summary
    from qmig.cli.views.live import LiveView
    from qmig.cli.views.summary import describe_verification
    from qmig.coordinator.follow import Follower
    from qmig.errors import Interrupted
    from qmig.ledger.records import JobKind
    from qmig.monitor.reader import ProgressReader

    with (
        open_migration(migration, **where) as (ledger, record),
        Fleet(broker_url) if broker_url else nullcontext() as fleet,
        interruption() as interrupted,
    ):
        remembered = RememberedMigrations()

        def wait(seconds: float) -> None:
            if interrupted():
                raise Interrupted(
                    f"detached; {record.title} continues, and `qmig attach {record.migration}` shows it again"
                )
            remembered.watch(fleet)
            time.sleep(seconds)

        with LiveView(record.title, quiet) as view:
            reader = ProgressReader(ledger, record.migration)
            result = Follower(reader, fleet, view, period="since attached").follow(wait)
        if result.record.job == JobKind.VERIFY:
            click.echo(describe_verification(result))
        else:
            print_summary(result)
