"""`qmig attach`: the live view of a migration, from any host."""

from typing import Any

import click

from qmig.cli.ledger import migration_argument, open_migration
from qmig.cli.options import broker_option, quiet_option


@click.command()
@migration_argument
@broker_option
@quiet_option
def attach(migration: str | None, broker_url: str | None, quiet: bool, **where: Any) -> None:
    """Show a migration live until it ends; Ctrl-C leaves the view and lets the migration go on.

    With a broker it also says when no worker is there.
    """
    import time
    from contextlib import nullcontext

    from qmig.broker.fleet import Fleet
    from qmig.cli.run import conclude, interruption
    from qmig.cli.views.live import LiveView
    from qmig.cli.views.summary import describe_verdict
    from qmig.coordinator.follow import Follower
    from qmig.coordinator.results import Summary, Verdict
    from qmig.errors import Interrupted
    from qmig.ledger.findings import Findings
    from qmig.ledger.records import JobKind
    from qmig.monitor.reader import ProgressReader

    with (
        open_migration(migration, **where) as (ledger, record),
        Fleet(broker_url) if broker_url else nullcontext() as fleet,
        interruption() as interrupted,
    ):
        watch = ProgressReader(ledger, record.migration)
        began, points_before = time.monotonic(), watch.refresh().points

        def between(seconds: float) -> None:
            if interrupted():
                raise Interrupted(f"left; {record.title} goes on, and `qmig attach {record.migration}` comes back")
            time.sleep(seconds)

        with LiveView(record.title, quiet) as view:
            progress = Follower(watch, fleet, view).follow(between)
        points, seconds = progress.points - points_before, time.monotonic() - began
        found, since = watch.record, "since attached"
        if found.job == JobKind.VERIFY:
            click.echo(describe_verdict(Verdict(found, found.findings or Findings(), points, seconds, since)))
        else:
            conclude(Summary(found, progress, watch.reconciliation, points, seconds, since))
