"""`qmig worker`: run workers on this host."""

import os
import re
import sys

import click

from qmig.cli.global_options import global_options, is_set
from qmig.cli.options import option, required_broker_option

_AUTOSCALE = re.compile(r"([1-9]\d*),(\d+)")


@click.command()
@required_broker_option
@option(
    "--concurrency", type=click.IntRange(1), metavar="N", help="Number of worker processes. One per core by default."
)
@option(
    "--autoscale",
    metavar="MAX,MIN",
    help="Start and stop worker processes between these numbers, as chunks wait in the queue.",
)
@global_options
def worker(broker_url: str, concurrency: int | None, autoscale: str | None) -> None:
    """Run workers on this host.

    Workers may join and leave a fleet at any time, also while a migration is running. Ctrl-C or SIGTERM stops them:
    they finish the batches in flight, store the offsets, and release their chunks.

    \b
    Example:
      qmig worker --broker-url redis://10.0.0.1:6379/0 --concurrency 4
    """
    if autoscale is not None:
        found = _AUTOSCALE.fullmatch(autoscale)
        if concurrency is not None or found is None or int(found[1]) < int(found[2]):
            raise click.UsageError(f"--autoscale {autoscale}: give MAX,MIN such as 8,2, and no --concurrency")
    from qmig.broker.fleet import Fleet
    from qmig.cli.fleet import check

    with Fleet(broker_url) as fleet:
        check(fleet, waits=True)
    from celery.bin.celery import celery

    level = "DEBUG" if is_set("trace") else "INFO"
    status = celery.main(
        [
            "--app=workers",
            "worker",
            f"--autoscale={autoscale}" if autoscale else f"--concurrency={concurrency or os.cpu_count() or 1}",
            f"--hostname=qmig-{os.getpid()}@%h",
            f"--loglevel={level}",
            "--task-events",
            "--without-gossip",
            "--without-mingle",
        ],
        standalone_mode=False,
    )
    # Whoever restarts a worker that failed has to see that it did.
    sys.exit(status)
