"""The options of `qmig milvus`, and the source that they describe."""

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from qmig.errors import UsageError
from qmig.migration import SourceSpec
from qmig.sources.kind import source_option
from qmig.sources.milvus.settings import Settings

DISTANCES = ("cosine", "dot", "euclid", "manhattan")

OPTIONS = (
    source_option(
        "database",
        "--source-database",
        "--milvus.db-name",
        default="",
        metavar="NAME",
        help="Database of the source collection.",
    ),
    source_option(
        "partitions",
        "--source-partition",
        "--milvus.partitions",
        multiple=True,
        metavar="NAME",
        help="Partition to read, all of them by default. May be given more than once.",
    ),
    source_option(
        "tls",
        "--milvus.enable-tls-auth",
        is_flag=False,
        flag_value="true",
        default=False,
        type=bool,
        hidden=True,
        help="The source speaks TLS, as an https:// URL says.",
    ),
    source_option(
        "distances",
        "--distance",
        "--qdrant.distance-metric",
        multiple=True,
        metavar="FIELD=METRIC",
        help="Distance of a vector field: cosine, dot, euclid or manhattan; by default that of its index. May be "
        "given more than once.",
    ),
    source_option(
        "skip_fields",
        "--skip-field",
        multiple=True,
        metavar="NAME",
        help="Field to leave out. May be given more than once.",
    ),
    source_option(
        "id_field",
        "--id-field",
        metavar="NAME",
        help="Payload key of the original primary key; by default its own name.",
    ),
    source_option(
        "partition_field",
        "--partition-field",
        metavar="NAME",
        help="Payload key for the name of a row's partition; without it the name is not kept.",
    ),
)


def with_options(source: SourceSpec, given: Mapping[str, Any]) -> SourceSpec:
    """Put the values of `OPTIONS`, by their names, into the source; UsageError where one is wrong."""
    database = given["database"]
    if not (database.isascii() and database.isprintable()):
        raise UsageError(f"--source-database {database!r}: Milvus has no such name; give one of printable ASCII")
    skip_fields = tuple(sorted(set(given["skip_fields"])))
    settings = Settings(skip_fields, _distances(given["distances"]), given["id_field"], given["partition_field"])
    return replace(
        source,
        endpoint=replace(source.endpoint, tls=source.endpoint.tls or given["tls"]),
        database=database,
        # The Go tool takes one option with commas; no name of a partition has one.
        partitions=tuple(name.strip() for text in given["partitions"] for name in text.split(",") if name.strip()),
        settings=settings.to_dict(),
    )


def _distances(given: tuple[str, ...]) -> dict[str, str]:
    """Distances by field, from `FIELD=METRIC`; the Go tool separates several by semicolons."""
    found: dict[str, str] = {}
    for pair in (pair.strip() for text in given for pair in text.split(";") if pair.strip()):
        name, _, metric = pair.rpartition("=")
        if not name or metric.lower() not in DISTANCES:
            raise UsageError(f"--distance {pair}: give FIELD=METRIC with one of {', '.join(DISTANCES)}")
        if found.setdefault(name, metric.lower()) != metric.lower():
            raise UsageError(f"--distance {pair}: {name!r} has {found[name]} already; give one of them")
    return found
