"""`python -m tests.faults --minutes 5 --seed 123`: the random mix of faults; without a seed another one each time."""

import secrets

import click

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
    except AssertionError as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"seed {chosen}: nothing was lost")


main()
