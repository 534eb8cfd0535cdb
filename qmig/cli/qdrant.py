"""`qmig qdrant`: copy a Qdrant collection into Qdrant."""

import click

from qmig.cli.options import global_options, is_set, migration_options, option, target_options
from qmig.migration import Options


@click.command(
    epilog="Example:\n\n  qmig qdrant --source-url http://a:6334 --source-collection products "
    "--target-url http://b:6334 --target-collection products -c",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
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
@option(
    "--source-api-key",
    "--source.api-key",
    "source_api_key",
    envvar="SOURCE_API_KEY",
    show_envvar=True,
    metavar="KEY",
    help="API key of the source.",
)
@target_options
@migration_options
@global_options
def qdrant(
    source_url: str,
    source_collection: str,
    source_api_key: str | None,
    target_url: str,
    target_api_key: str | None,
    target_collection: str,
    ledger: str,
    batch_size: int | None,
    batch_bytes: int,
    batch_delay: int,
    create_target: bool,
    ensure_indexes: bool,
    shard_key: str | None,
    shard_key_field: str | None,
    restart: bool,
    broker_url: str | None,
    workers: int | None,
    chunk_size: int | None,
    dry_run: bool,
) -> None:
    """Copy a Qdrant collection into Qdrant, spread over a fleet of workers.

    Stopped or killed at any moment, the same command goes on where it was. Without a broker, Redis and
    workers are started on this machine for this run.
    """
    from qmig.cli.run import run
    from qmig.migration import Endpoint, Migration, Routing, Source, Target
    from qmig.sealing import Credentials
    from qmig.survey import Wishes

    migration = Migration(
        source=Source("qdrant", Endpoint.parse(source_url, "--source-url"), source_collection),
        target=Target(Endpoint.parse(target_url, "--target-url"), target_collection, ledger),
        options=Options(batch_size, batch_bytes, batch_delay, is_set("skip_tls_verification")),
        routing=Routing(shard_key, shard_key_field),
    )
    wishes = Wishes(create_target, ensure_indexes, restart, chunk_size)
    run(migration, Credentials(source_api_key, target_api_key), wishes, broker_url, workers, dry_run)
