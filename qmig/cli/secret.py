"""`qmig secret`: print a new secret for a fleet."""

import click

from qmig.cli.global_options import global_options


@click.command()
@global_options
def secret() -> None:
    """Print a new secret for a fleet.

    Set it as $QMIG_SECRET_KEY for every worker and for the commands that migrate. The name of the fleet's queue on
    Redis, which an autoscaler needs, is printed to stderr.

    \b
    Example:
      export QMIG_SECRET_KEY=$(qmig secret)
    """
    from qmig.broker.queues import queue_of
    from qmig.broker.sealing import name_of, new_secret

    made = new_secret()
    click.echo(made)
    click.echo(f"the fleet's queue on Redis: {queue_of(name_of(made))}", err=True)
