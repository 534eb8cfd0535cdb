"""`qmig demo`: migrations on this machine, with real data and nothing to set up."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from qmig.cli.global_options import global_options
from qmig.errors import Interrupted, TerminalError

if TYPE_CHECKING:
    from qmig.embedded.demo.command import Command
    from qmig.embedded.demo.texts import Text
    from qmig.qdrant.server import Server

COLLECTION = "python-docs"
# Milvus takes no hyphen in a name.
MILVUS_COLLECTION = "python_docs"
WORKERS = 2
# Points a second: as fast as the servers are, both copies would be over before their bars had moved.
MAX_RATE = 3000
MILVUS_MAX_RATE = 1200
# The share of the points after which the first command is killed.
KILL_AT = 0.5


@click.command()
@global_options
def demo() -> None:
    """Copy real data into a small Qdrant on this machine, kill the copy halfway, resume it, compare the contents.

    The data are the definitions and the documentation of this Python's standard library. A second copy comes from a
    Milvus. Everything runs on loopback in a temporary directory, which is deleted at the end. The demo takes about a
    minute.
    """
    with _interruptible() as check:
        _run(check)
    click.echo(
        "\nEverything that was started is stopped, and the data are deleted. Next:\n"
        "  qmig qdrant --help        copy a collection of your own; add --dry-run to look first\n"
        "  qmig milvus --help        the same from Milvus\n"
        "  qmig worker --help        let other hosts take part"
    )


@contextmanager
def _interruptible() -> Iterator[Callable[[], None]]:
    """Yield a function that raises Interrupted after Ctrl-C, SIGTERM or SIGHUP.

    Further signals change nothing: by then everything is being stopped.
    """
    signals: list[int] = []

    def check() -> None:
        if signals:
            raise Interrupted("interrupted; everything that was started is stopped, and the data are deleted")

    before = {
        number: signal.signal(number, lambda number, _frame: signals.append(number))
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    }
    try:
        yield check
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _run(check: Callable[[], None]) -> None:
    import tempfile

    from qmig.embedded.demo.texts import standard_library
    from qmig.embedded.qdrant.process import EmbeddedQdrant
    from qmig.migration import Endpoint
    from qmig.qdrant.server import Server

    click.echo("Reading this Python's standard library: definitions and documentation …")
    texts = list(standard_library(check))
    with (
        tempfile.TemporaryDirectory(prefix="qmig-demo-") as directory,
        EmbeddedQdrant(Path(directory, "target")) as target,
        Server(Endpoint.parse(target.url, "target"), "target") as target_server,
    ):
        _from_qdrant(Path(directory), target_server, texts, check)
        _from_milvus(Path(directory), target_server, texts, check)


def _from_qdrant(directory: Path, target: Server, texts: Sequence[Text], check: Callable[[], None]) -> None:
    from qmig.embedded.demo.qdrant import differing_points, fill
    from qmig.embedded.qdrant.process import EmbeddedQdrant
    from qmig.migration import Endpoint
    from qmig.qdrant.collection import collection_info
    from qmig.qdrant.server import Server

    def copied() -> int:
        info = collection_info(target, COLLECTION)
        return 0 if info is None else info.points_count

    _title("From Qdrant, killed and resumed")
    with EmbeddedQdrant(directory / "qdrant") as process:
        endpoint = Endpoint.parse(process.url, "source")
        click.echo(f"Two small Qdrants run here: {endpoint.url} and {target.endpoint.url}.")
        with Server(endpoint, "source") as server:
            fill(server, COLLECTION, texts, check)
            click.echo(f"The source holds {len(texts):,} points with payloads, and two payload indexes.")
            command = _command("qdrant", endpoint.url, COLLECTION, target, MAX_RATE, directory)
            click.echo(f"--max-rate slows the copies down, so that the bars can be seen moving.\n\n{command}")
            killed = command.run_and_kill(lambda: copied() >= len(texts) * KILL_AT, check)
            click.echo(
                f"\nKilled with SIGKILL at {copied():,} of {len(texts):,} points: {killed} processes, which are\n"
                "the command, its Redis and its workers.\nThe same command resumes from the ledger in the target:"
                f"\n\n{command}"
            )
            click.echo(command.run(check))
            _conclude(len(texts), differing_points(server, target, COLLECTION, check))


def _from_milvus(directory: Path, target: Server, texts: Sequence[Text], check: Callable[[], None]) -> None:
    from qmig.embedded.milvus import EmbeddedMilvus

    _title("From Milvus")
    if EmbeddedMilvus.missing():
        click.echo(
            "There is no Milvus here to migrate from. This installs one for the next time:\n"
            f"  pip install --target {EmbeddedMilvus.home()} milvus-lite=={EmbeddedMilvus.version}"
        )
        return
    from qmig.embedded.demo.milvus import differing_rows, fill

    with EmbeddedMilvus(directory / "milvus") as process:
        click.echo(f"Milvus Lite runs here: {process.url}. It gets the first paragraphs.")
        rows = fill(process.url, MILVUS_COLLECTION, texts, check)
        click.echo(f"It holds {len(rows):,} rows with scalars, JSON, dynamic fields and two indexes.")
        command = _command("milvus", process.url, MILVUS_COLLECTION, target, MILVUS_MAX_RATE, directory)
        click.echo(f"\n{command}")
        click.echo(command.run(check))
        _conclude(len(rows), differing_rows(rows, target, MILVUS_COLLECTION, check))


def _title(text: str) -> None:
    click.echo(f"\n── {text} ──")


def _command(kind: str, source_url: str, collection: str, target: Server, max_rate: int, directory: Path) -> Command:
    from qmig.embedded.demo.command import Command

    return Command(
        [
            [kind],
            ["--source-url", source_url, "--source-collection", collection],
            ["--target-url", target.endpoint.url, "--target-collection", collection],
            ["--create-target-collection", "--workers", str(WORKERS), "--max-rate", str(max_rate)],
        ],
        directory,
    )


def _conclude(compared: int, differing: int) -> None:
    if differing:
        raise TerminalError(f"{differing:,} of {compared:,} points differ or are missing in the target")
    click.echo(f"\nCompared {compared:,} points, payloads and vectors: source and target are equal.")
