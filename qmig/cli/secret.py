"""`qmig secret`: a new secret for a fleet."""

import click

from qmig.cli.options import global_options


@click.command()
@global_options
def secret() -> None:
    """Print a new secret; set it as $QMIG_SECRET_KEY for the coordinator and every worker of a fleet."""
    from qmig.sealing import new_secret

    click.echo(new_secret())
