"""`qmig verify`: compare source and target of a migration, point by point."""

from typing import Any

import click

from qmig.cli.global_options import skips_tls_verification
from qmig.cli.ledger import migration_argument, open_ledger
from qmig.cli.options import (
    api_key_option,
    broker_option,
    ca_cert_option,
    option,
    quiet_option,
    user_options,
    workers_option,
)

username_option, password_option = user_options()


def _share(_context: click.Context, _parameter: click.Parameter, given: str) -> float:
    """The part of 1 that a percentage such as `1%` or `0.5 %` is."""
    number, sign, rest = given.partition("%")
    try:
        share = float(number) / 100
    except ValueError:
        share = 0.0
    if not sign or rest or not 0 < share <= 1:
        raise click.BadParameter(f"{given!r} is not a percentage above 0% and up to 100%, such as 1%")
    return share


@click.command()
@option("--source-url", "source_url", metavar="URL", help="Find the migration by the URL of its source.")
@option(
    "--source-collection", "source_collection", metavar="NAME", help="Find the migration by its source collection."
)
@option(
    "--target-collection",
    "target_collection",
    metavar="NAME",
    help="Find the migration by its target collection.",
)
@api_key_option("source", help="API key or token of the source.")
@username_option
@password_option
@ca_cert_option("source")
@option("--extra", is_flag=True, help="Also look for points that are only in the target.")
@option("--repair", is_flag=True, help="Copy missing and different points again.")
@option(
    "--sample",
    "share",
    callback=_share,
    default="100%",
    metavar="PERCENT",
    help="Compare only a sample of every chunk, such as 1%. It has the same points each time.",
)
@option("--json", "as_json", is_flag=True, help="Print the result as a JSON object.")
@broker_option
@workers_option
@quiet_option
@migration_argument
def verify(
    migration: str | None,
    source_url: str | None,
    source_collection: str | None,
    target_collection: str | None,
    extra: bool,
    repair: bool,
    share: float,
    as_json: bool,
    broker_url: str | None,
    workers: int | None,
    quiet: bool,
    source_api_key: str | None,
    source_username: str | None,
    source_password: str | None,
    source_ca_cert: str | None,
    **where: Any,
) -> None:
    """Compare every point of a finished migration in source and target, payload and vectors.

    A fleet of workers compares the points. The exit status is 0 if all points are equal, and 4 if not. If the
    verification is stopped or killed, the same command resumes it; after its end, it begins a new verification.

    The migration can also be named by --source-url, --source-collection and --target-collection.

    \b
    Example:
      qmig verify --target-url http://b:6334 --extra
    """
    from functools import partial

    from msgspec.structs import replace

    from qmig.cli.fleet import open_fleet
    from qmig.cli.interrupt import interruption
    from qmig.cli.migrate import run_verification
    from qmig.cli.views.live import LiveView
    from qmig.coordinator.verify import Verification
    from qmig.ledger.find import EndpointFilter, find_migration
    from qmig.ledger.findings import Checks
    from qmig.migration import Credentials
    from qmig.sources.registry import is_at

    credentials = Credentials(source_api_key, where["target_api_key"], source_username, source_password)
    with open_ledger(**where) as ledger, interruption() as interrupted:
        is_source = None if source_url is None else partial(is_at, url=source_url)
        record = find_migration(ledger, migration, EndpointFilter(is_source, source_collection, target_collection))
        recorded = record.definition
        endpoint = recorded.source.endpoint
        if source_ca_cert is not None:
            endpoint = replace(endpoint, ca_cert=source_ca_cert)
        reachable = replace(
            recorded,
            source=replace(recorded.source, endpoint=endpoint),
            target=replace(recorded.target, endpoint=ledger.server.endpoint, ledger=ledger.name),
            options=replace(recorded.options, skip_tls_verification=skips_tls_verification(source=endpoint)),
        )
        checks = Checks(share, extra, repair)
        with LiveView(f"verify {record.title}", quiet) as view:
            verification = Verification(ledger, record, reachable, checks, credentials, view)
            verification.preflight()
            with open_fleet(broker_url, workers) as fleet:
                run_verification(verification, fleet, view, interrupted, as_json)
