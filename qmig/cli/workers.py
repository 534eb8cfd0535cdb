"""`qmig workers`: who is on the broker."""

import click

from qmig.cli.global_options import global_options
from qmig.cli.options import broker_option


@click.command()
@broker_option
@global_options
def workers(broker_url: str | None) -> None:
    """List the workers of a fleet, with their versions; one that cannot work with this qmig is named."""
    if not broker_url:
        raise click.UsageError("no broker: give --broker-url or set $QMIG_BROKER_URL")
    from qmig import __version__
    from qmig.broker.fleet import Fleet
    from qmig.broker.task import TASK_VERSION
    from qmig.formatting import pluralize

    with Fleet(broker_url) as fleet:
        fleet.check()
        there = fleet.registry.workers()
        if not there:
            click.echo(f"no worker is on {fleet.shown_url}; start some with `qmig worker --broker-url …` on any host")
            return
        width = max(len(worker.name) for worker in there)
        for worker in there:
            remark = "" if worker.version == __version__ else f", other than this one ({__version__})"
            if worker.task_version != TASK_VERSION:
                remark += ", and cannot take its tasks"
            if worker.queue != fleet.queue_name:
                remark += f"; {fleet.describe_secret_mismatch(worker)}"
            processes = pluralize(worker.processes, "process", "processes")
            click.echo(f"{worker.name:<{width}}  {processes:>13}  qmig {worker.version}{remark}")
