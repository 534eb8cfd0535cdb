"""`qmig milvus`: copy a Milvus collection into Qdrant."""

from typing import Any

import click

from qmig.cli.global_options import global_options
from qmig.cli.migration_options import migration_options
from qmig.cli.options import api_key_option, ca_cert_option, option, switch, target_options
from qmig.migration import MILVUS_PORT

DISTANCES = ("cosine", "dot", "euclid", "manhattan")


@click.command(
    epilog="Example:\n\n  qmig milvus --source-url http://a:19530 --source-collection products "
    "--target-url http://b:6334 --target-collection products -c",
)
@option(
    "--source-url",
    "--milvus.url",
    "source_url",
    required=True,
    metavar="URL",
    help="URL of the source, http://host:19530 or https://…",
)
@option(
    "--source-collection",
    "--milvus.collection",
    "source_collection",
    required=True,
    metavar="NAME",
    help="Collection to read; it must be loaded.",
)
@option("--source-database", "--milvus.db-name", "database", default="", metavar="NAME", help="Its database.")
@option(
    "--source-partition",
    "--milvus.partitions",
    "partitions",
    multiple=True,
    metavar="NAME",
    help="Partition to read, all of them by default. May be given more than once.",
)
@api_key_option("source", "--milvus.api-key", help="Token of the source, or user:password.")
@option("--source-username", "--milvus.username", "source_username", metavar="NAME", help="User of the source.")
@option(
    "--source-password",
    "--milvus.password",
    "source_password",
    envvar="SOURCE_PASSWORD",
    show_envvar=True,
    metavar="PASSWORD",
    help="That user's password.",
)
@ca_cert_option("source")
@switch("--milvus.enable-tls-auth", "tls", hidden=True, help="The source speaks TLS, as an https:// URL says.")
@option(
    "--distance",
    "--qdrant.distance-metric",
    "distances",
    multiple=True,
    metavar="FIELD=METRIC",
    help="Distance of a vector field, cosine, dot, euclid or manhattan; by default its index says it. May be given "
    "more than once.",
)
@option(
    "--skip-field",
    "skip_fields",
    multiple=True,
    metavar="NAME",
    help="Field to leave out. May be given more than once.",
)
@option(
    "--id-field",
    "id_field",
    metavar="NAME",
    help="Payload key of the original primary key; by default its own name.",
)
@option(
    "--partition-field",
    "partition_field",
    metavar="NAME",
    help="Payload key for the name of a row's partition; without it that is not kept.",
)
@target_options
@migration_options
@global_options
def milvus(
    source_url: str,
    source_collection: str,
    database: str,
    partitions: tuple[str, ...],
    source_api_key: str | None,
    source_username: str | None,
    source_password: str | None,
    source_ca_cert: str | None,
    tls: bool,
    distances: tuple[str, ...],
    skip_fields: tuple[str, ...],
    id_field: str | None,
    partition_field: str | None,
    **common: Any,
) -> None:
    """Copy a Milvus collection into Qdrant, spread over a fleet of workers.

    Every field keeps its name; --dry-run prints what each becomes, with one row converted. Stopped or killed at any
    moment, the same command goes on where it was. Without a broker, Redis and workers are started on this machine
    for this run.
    """
    from qmig.cli.migrate import run
    from qmig.migration import Credentials, Endpoint, SourceSpec
    from qmig.sources.milvus.settings import Settings

    if tls:
        source_url = source_url.replace("http://", "https://", 1)
    endpoint = Endpoint.parse(source_url, "--source-url", MILVUS_PORT, source_ca_cert)
    settings = Settings(tuple(sorted(set(skip_fields))), _distances(distances), id_field, partition_field)
    source = SourceSpec(
        "milvus",
        endpoint,
        source_collection,
        database,
        # The Go tool takes one option with commas; no name of a partition has one.
        tuple(name.strip() for given in partitions for name in given.split(",") if name.strip()),
        settings.to_dict(),
    )
    credentials = Credentials(source_api_key, None, source_username, source_password)
    run(source, credentials, **common)


def _distances(given: tuple[str, ...]) -> dict[str, str]:
    """Distances by field, from `FIELD=METRIC`; the Go tool separates several by semicolons."""
    from qmig.errors import UsageError

    found: dict[str, str] = {}
    for pair in (pair.strip() for text in given for pair in text.split(";") if pair.strip()):
        name, _, metric = pair.rpartition("=")
        if not name or metric.lower() not in DISTANCES:
            raise UsageError(f"--distance {pair}: give FIELD=METRIC with one of {', '.join(DISTANCES)}")
        if found.setdefault(name, metric.lower()) != metric.lower():
            raise UsageError(f"--distance {pair}: {name!r} has {found[name]} already; give one of them")
    return found
