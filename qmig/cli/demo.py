"""`qmig demo`: the main job on this machine, with real data and nothing to set up."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from qmig.cli.global_options import global_options

if TYPE_CHECKING:
    from qmig.migration import SourceSpec
    from qmig.qdrant.server import Server

COLLECTION = "python-docs"
# Milvus takes no hyphen in a name.
MILVUS_COLLECTION = "python_docs"
WORKERS = 2


@click.command()
@global_options
def demo() -> None:
    """Migrate this Python's documentation into a small Qdrant, out of another and out of a Milvus, and compare it.

    Everything runs on loopback in a temporary directory, and is gone afterwards.
    """
    import tempfile

    from qmig.cli.interrupt import interruption
    from qmig.embedded.qdrant.process import EmbeddedQdrant
    from qmig.migration import Endpoint
    from qmig.qdrant.server import Server

    with (
        interruption() as interrupted,
        tempfile.TemporaryDirectory(prefix="qmig-demo-") as directory,
        EmbeddedQdrant(Path(directory, "target")) as target,
        Server(Endpoint.parse(target.url, "target"), "target") as target_server,
    ):
        _from_qdrant(Path(directory, "qdrant"), target_server, interrupted)
        _from_milvus(Path(directory, "milvus"), target_server, interrupted)
    click.echo(
        "everything that was started is stopped. Next:\n"
        "  qmig qdrant --help        copy a collection of your own; add --dry-run to look first\n"
        "  qmig milvus --help        the same from Milvus\n"
        "  qmig worker --help        let other hosts take part\n"
        "  README.md                 the rest"
    )


def _from_qdrant(directory: Path, target: Server, interrupted: Callable[[], bool]) -> None:
    from qmig.embedded.demo.qdrant import differing_points, fill
    from qmig.embedded.qdrant.process import EmbeddedQdrant
    from qmig.migration import Endpoint, SourceSpec
    from qmig.qdrant.server import Server

    with EmbeddedQdrant(directory) as process:
        endpoint = Endpoint.parse(process.url, "source")
        click.echo(
            f"source {endpoint.url} and target {target.endpoint.url}: Qdrant's engine, two processes of this machine"
        )
        with Server(endpoint, "source") as server:
            click.echo("filling the source with the standard library's definitions and documentation …")
            click.echo(f"  {fill(server, COLLECTION, interrupted):,} points with payloads, two payload indexes")
            _migrate(SourceSpec("qdrant", endpoint, COLLECTION), target, interrupted)
            _conclude(*differing_points(server, target, COLLECTION))


def _from_milvus(directory: Path, target: Server, interrupted: Callable[[], bool]) -> None:
    from qmig.embedded.milvus import EmbeddedMilvus

    if EmbeddedMilvus.missing():
        click.echo(
            "no Milvus is here to migrate from; this brings one for the next time:\n"
            f"  pip install --target {EmbeddedMilvus.home()} milvus-lite=={EmbeddedMilvus.version}"
        )
        return
    from qmig.embedded.demo.milvus import differing_rows, fill
    from qmig.migration import Endpoint, SourceSpec

    with EmbeddedMilvus(directory) as process:
        endpoint = Endpoint.parse(process.url, "source")
        click.echo(f"source {endpoint.url}: Milvus Lite, filled with the first paragraph of each documentation …")
        rows = fill(endpoint.url, MILVUS_COLLECTION, interrupted)
        click.echo(f"  {len(rows):,} rows with string keys, scalars, JSON and dynamic fields, two scalar indexes")
        _migrate(SourceSpec("milvus", endpoint, MILVUS_COLLECTION), target, interrupted)
        _conclude(len(rows), differing_rows(rows, target, MILVUS_COLLECTION))


def _migrate(source: SourceSpec, target: Server, interrupted: Callable[[], bool]) -> None:
    from qmig.cli.migrate import migrate
    from qmig.cli.views.live import LiveView
    from qmig.coordinator.preflight import RunOptions
    from qmig.migration import Credentials, Migration, TargetSpec

    name = source.collection
    click.echo(
        f"$ qmig {source.kind} --source-url {source.endpoint.url} --source-collection {name} "
        f"--target-url {target.endpoint.url} --target-collection {name} -c --workers {WORKERS}"
    )
    migration = Migration(source, TargetSpec(target.endpoint, name))
    with LiveView(migration.title) as view:
        migrate(migration, Credentials(), RunOptions(create_target=True), None, WORKERS, view, interrupted)


def _conclude(compared: int, differing: int) -> None:
    from qmig.errors import TerminalError

    if differing:
        raise TerminalError(f"{differing:,} of {compared:,} points differ or are missing in the target")
    click.echo(f"compared {compared:,} points, vectors and payloads: source and target are equal")
