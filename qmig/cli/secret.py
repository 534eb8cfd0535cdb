"""`qmig secret`: a new secret for a fleet."""

import click

from qmig.cli.global_options import global_options


@click.command()
@global_options
def secret() -> None:
    """Print a new secret; set it as $QMIG_SECRET_KEY for the coordinator and every worker of a fleet.

    The name of their queue on Redis, which autoscalers ask for, goes to stderr.
    """
    from qmig.broker.queues import queue_of
    from qmig.broker.sealing import name_of, new_secret

    made = new_secret()
    click.echo(made)
    click.echo(f"the fleet's queue on Redis: {queue_of(name_of(made))}", err=True)
