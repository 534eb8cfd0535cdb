"""`qmig workers`: list the workers of a fleet."""

import click

from qmig.cli.global_options import global_options
from qmig.cli.options import required_broker_option


@click.command()
@required_broker_option
@global_options
def workers(broker_url: str) -> None:
    """List the workers of a fleet, with their number of processes and their version.

    A worker that cannot run tasks of this qmig is marked, with the reason.

    \b
    Example:
      qmig workers --broker-url redis://10.0.0.1:6379/0
    """
    from qmig import __version__
    from qmig.broker.fleet import Fleet
    from qmig.formatting import pluralize

    with Fleet(broker_url) as fleet:
        fleet.check()
        online = fleet.registry.workers()
        if not online:
            click.echo(
                f"no worker is online on {fleet.shown_url}; start some with `qmig worker --broker-url …` on any host"
            )
            return
        width = max(len(worker.name) for worker in online)
        for worker in online:
            remark = "" if worker.version == __version__ else f", another version than this one ({__version__})"
            if worker.queue != fleet.queue_name:
                remark += f"; {fleet.describe_mismatch(worker)}: it takes none of these tasks"
            processes = pluralize(worker.processes, "process", "processes")
            click.echo(f"{worker.name:<{width}}  {processes:>13}  qmig {worker.version}{remark}")
