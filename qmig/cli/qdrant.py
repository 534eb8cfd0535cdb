"""`qmig qdrant`: copy a Qdrant collection into Qdrant."""

import click

from qmig.cli.options import broker_option, global_options, is_set, option, switch, target_options
from qmig.migration import MAX_BATCH_BYTES, Options

DEFAULTS = Options()


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
@option(
    "--target-collection",
    "--target.collection",
    "target_collection",
    required=True,
    metavar="NAME",
    help="Collection to write.",
)
@option(
    "-b",
    "--batch-size",
    "--migration.batch-size",
    "batch_size",
    type=click.IntRange(1),
    metavar="N",
    help="Points in one upsert. Without it the size starts at 50 and follows --batch-bytes.",
)
@option(
    "--batch-bytes",
    "batch_bytes",
    type=click.IntRange(1, MAX_BATCH_BYTES),
    metavar="BYTES",
    default=DEFAULTS.batch_bytes,
    show_default=True,
    help="Aim of one upsert's size.",
)
@option(
    "--batch-delay",
    "--migration.batch-delay",
    "batch_delay",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    metavar="MS",
    help="Milliseconds that a worker waits between two batches.",
)
@switch(
    "-c",
    "--create-target-collection",
    "--migration.create-collection",
    "create_target",
    help="Create the target as the source is, payload indexes too, if it does not exist.",
)
@switch(
    "--ensure-payload-indexes",
    "--target.ensure-payload-indexes",
    "ensure_indexes",
    help="Create on an existing target the payload indexes that it lacks.",
)
@option(
    "--target-shard-key",
    "--target.shard-key",
    "shard_key",
    metavar="KEY",
    help="Write every point under this shard key.",
)
@option(
    "--target-shard-key-field",
    "--target.shard-key-field",
    "shard_key_field",
    metavar="FIELD",
    help="Write every point under the shard key that this payload field holds.",
)
@switch(
    "--restart-migration",
    "--migration.restart",
    "restart",
    help="Forget this migration's plan and offsets, only this one's, and begin again.",
)
@broker_option
@option(
    "--workers",
    "--migration.num-workers",
    "workers",
    type=click.IntRange(1),
    metavar="N",
    help="Local workers where no broker is given; one a core by default.",
)
@option(
    "--chunk-size",
    "chunk_size",
    type=click.IntRange(1),
    metavar="N",
    help="Points a chunk aims at; by default from the collection's size.",
)
@option("--dry-run", "dry_run", is_flag=True, help="Print what would be done and write nothing.")
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
