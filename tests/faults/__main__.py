"""`python -m tests.faults --minutes 5 --seed 123`: the random mix of faults; without a seed another one each time.

After it, one migration from a Milvus whose partition is released at random.
"""

import secrets

import click

from tests.support.milvus.released_partition import ReleasedPartition, missing
from tests.support.random_faults import Mix


@click.command()
@click.option("--minutes", default=5.0, show_default=True, help="How long; the last migration is seen to its end.")
@click.option("--seed", type=int, default=None, help="Repeat the faults of a run that printed this seed.")
@click.option("--points", default=100_000, show_default=True, help="Points in the source.")
def main(minutes: float, seed: int | None, points: int) -> None:
    """Migrate under random faults, and compare the contents at the end."""
    chosen = secrets.randbelow(10**6) if seed is None else seed
    click.echo(f"seed {chosen}")
    try:
        Mix(chosen, points, click.echo).run(60 * minutes)
        if reason := missing():
            click.echo(f"no partition of a Milvus is released: {reason}")
        else:
            ReleasedPartition(chosen, say=click.echo).run()
    except AssertionError as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"seed {chosen}: nothing was lost")


main()
