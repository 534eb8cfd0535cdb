"""`qmig worker`: workers on this host."""

import os
import re

import click

from qmig.cli.global_options import global_options, is_set
from qmig.cli.options import broker_option, option

_AUTOSCALE = re.compile(r"([1-9]\d*),(\d+)")


@click.command()
@broker_option
@option("--concurrency", type=click.IntRange(1), metavar="N", help="Worker processes; one a core by default.")
@option(
    "--autoscale",
    metavar="MAX,MIN",
    help="Worker processes come and go between these numbers, as there are chunks that wait.",
)
@global_options
def worker(broker_url: str | None, concurrency: int | None, autoscale: str | None) -> None:
    """Run workers on this host until Ctrl-C or SIGTERM; the batches in flight end, offsets are stored.

    Workers may join and leave a fleet at any time, in the middle of a migration too.
    """
    if not broker_url:
        raise click.UsageError("no broker: give --broker-url or set $QMIG_BROKER_URL")
    if autoscale is not None:
        found = _AUTOSCALE.fullmatch(autoscale)
        if concurrency is not None or found is None or int(found[1]) < int(found[2]):
            raise click.UsageError(f"--autoscale {autoscale}: give MAX,MIN such as 8,2, and no --concurrency")
    from qmig.broker.fleet import Fleet

    Fleet(broker_url).check()
    from qmig.broker.app import app

    level = "DEBUG" if is_set("trace") else "INFO"
    app.worker_main(
        [
            "worker",
            f"--autoscale={autoscale}" if autoscale else f"--concurrency={concurrency or os.cpu_count() or 1}",
            f"--hostname=qmig-{os.getpid()}@%h",
            f"--loglevel={level}",
            "--task-events",
            "--without-gossip",
            "--without-mingle",
        ]
    )
