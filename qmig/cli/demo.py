"""`qmig demo`: the main job on this machine, with real data and nothing to set up."""

import click

from qmig.cli.options import global_options

COLLECTION = "python-docs"


@click.command()
@global_options
def demo() -> None:
    """Fill a small Qdrant with this Python's documentation, migrate it with two workers, compare the contents.

    Everything runs on loopback in a temporary directory, and is gone afterwards.
    """
    import tempfile
    from pathlib import Path

    from qmig import demo as data
    from qmig.cli.run import interruption, migrate
    from qmig.connections import Server
    from qmig.embedded.qdrant.process import EmbeddedQdrant
    from qmig.errors import TerminalError
    from qmig.live import LiveView
    from qmig.migration import Endpoint, Migration, Source, Target
    from qmig.sealing import Credentials
    from qmig.survey import Wishes

    with (
        interruption() as interrupted,
        tempfile.TemporaryDirectory(prefix="qmig-demo-") as directory,
        EmbeddedQdrant(Path(directory, "source")) as source_process,
        EmbeddedQdrant(Path(directory, "target")) as target_process,
    ):
        source = Endpoint.parse(source_process.url, "source")
        target = Endpoint.parse(target_process.url, "target")
        click.echo(f"source {source.url} and target {target.url}: Qdrant's engine, two processes of this machine")
        with Server(source, "source") as source_server, Server(target, "target") as target_server:
            click.echo("filling the source with the standard library's definitions and documentation …")
            points = data.fill(source_server, COLLECTION, interrupted)
            click.echo(f"  {points:,} points of {data.DIMENSIONS} dimensions with payloads, two payload indexes")
            click.echo(
                f"$ qmig qdrant --source-url {source.url} --source-collection {COLLECTION} "
                f"--target-url {target.url} --target-collection {COLLECTION} -c --workers 2"
            )
            migration = Migration(source=Source("qdrant", source, COLLECTION), target=Target(target, COLLECTION))
            with LiveView(migration.title) as view:
                migrate(migration, Credentials(), Wishes(create_target=True), None, 2, view, interrupted)
            compared, differing = data.differing_points(source_server, target_server, COLLECTION)
            if differing:
                raise TerminalError(f"{differing:,} of {compared:,} points differ or are missing in the target")
            click.echo(f"compared {compared:,} points, vectors and payloads: source and target are equal")
    click.echo(
        "everything that was started is stopped. Next:\n"
        "  qmig qdrant --help        copy a collection of your own; add --dry-run to look first\n"
        "  qmig worker --help        let other hosts take part\n"
        "  README.md                 the rest"
    )
