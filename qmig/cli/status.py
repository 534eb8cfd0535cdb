"""`qmig status`: where migrations stand, from the ledger alone."""

import click

from qmig.cli.options import global_options, is_set, target_options


@click.command()
@click.argument("migration", required=False)
@target_options
@global_options
def status(migration: str | None, target_url: str, target_api_key: str | None, ledger: str) -> None:
    """Say where a migration stands, from the ledger alone; without a MIGRATION, every one in the ledger.

    MIGRATION is its id or a unique beginning of it.
    """
    from qmig.connections import Server
    from qmig.ledger import Ledger
    from qmig.migration import Endpoint
    from qmig.reachability import server_version
    from qmig.status import describe_status

    endpoint = Endpoint.parse(target_url, "--target-url")
    with Server(endpoint, "target", target_api_key, is_set("skip_tls_verification")) as server:
        server_version(server)
        click.echo(describe_status(Ledger(server, ledger), migration))
