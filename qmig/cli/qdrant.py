"""`qmig qdrant`: copy a Qdrant collection into Qdrant."""

from typing import Any

import click

from qmig.cli.global_options import global_options
from qmig.cli.migration_options import migration_options
from qmig.cli.options import api_key_option, ca_cert_option, option, target_options


@click.command(
    epilog="Example:\n\n  qmig qdrant --source-url http://a:6334 --source-collection products "
    "--target-url http://b:6334 --target-collection products -c",
)
@option(
    "--source-url",
    "--source.url",
    "source_url",
    required=True,
    metavar="URL",
    help="gRPC URL of the source, http://host:6334 or https://…",
)
@option(
    "--source-collection",
    "--source.collection",
    "source_collection",
    required=True,
    metavar="NAME",
    help="Collection to read.",
)
@api_key_option("source", "--source.api-key", help="API key of the source.")
@ca_cert_option("source")
@target_options
@migration_options
@global_options
def qdrant(
    source_url: str,
    source_collection: str,
    source_api_key: str | None,
    source_ca_cert: str | None,
    **common: Any,
) -> None:
    """Copy a Qdrant collection into Qdrant, spread over a fleet of workers.

    Stopped or killed at any moment, the same command goes on where it was. Without a broker, Redis and
    workers are started on this machine for this run.
    """
    from qmig.cli.migrate import run
    from qmig.migration import Credentials, Endpoint, SourceSpec

    endpoint = Endpoint.parse(source_url, "--source-url", ca_cert=source_ca_cert)
    source = SourceSpec("qdrant", endpoint, source_collection)
    run(source, Credentials(source_api_key), **common)
