"""The throughput of qmig compared with that of the two servers, and its cost; see benchmarks/README.md.

python benchmarks/throughput.py --source-url http://a:6334 --target-url http://b:6334
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TypeVar

import click
import floor
from collections_of_points import Dataset, delete, digest
from floor import Floor, create_target
from measured_qmig import Run, WarmFleet
from other_load import OtherLoad

from qmig.embedded.qdrant.process import EmbeddedQdrant
from qmig.migration import Endpoint, Options
from qmig.qdrant.server import Server, server_version
from qmig.sources.qdrant import QdrantSource

WARM_UP = Dataset(4_000, 16)
WARM_UP_CHUNK = 200
LEDGER = "qmig-benchmark-ledger"
# Cores that others may take in a round that counts as undisturbed.
QUIET = 0.15
Measured = TypeVar("Measured", Floor, Run)
UNITS = {"K": 1024, "M": 1024 * 1024}


@dataclass(frozen=True)
class Bars:
    """The limits that a run has to keep."""

    ratio: float = 1.25
    worker_microseconds: float = 10.0
    coordinator_cpu: float = 1.5
    worker_memory: float = 200.0
    verify_share: float = 0.6


@dataclass(frozen=True)
class Result:
    """All rounds with one collection and one size of batch."""

    dataset: Dataset
    batch_bytes: int
    batch: int
    floors: list[Floor]
    runs: list[Run]
    checks: list[Run]
    equal: bool | None

    def floor(self, value: Callable[[Floor], float]) -> float:
        return median(map(value, self.floors))

    def run(self, value: Callable[[Run], float]) -> float:
        return median(map(value, self.runs))

    def check(self, value: Callable[[Run], float]) -> float:
        return median(map(value, self.checks))

    def largest(self, value: Callable[[Run], float]) -> float:
        return max(map(value, (*self.runs, *self.checks)))


class Bench:
    """Both servers and a fleet."""

    def __init__(
        self, source: Server, target: Server, fleet: WarmFleet, load: OtherLoad, settle: float, patience: float
    ) -> None:
        self.load = load
        self.source = source
        self.target = target
        self.fleet = fleet
        self.settle = settle
        self.patience = patience

    def warm_up(self) -> None:
        WARM_UP.make(self.source)
        self._migrate(WARM_UP, "--chunk-size", str(WARM_UP_CHUNK))
        delete(self.target, WARM_UP.copy_name)
        delete(self.source, WARM_UP.name)

    def measure(self, dataset: Dataset, batch_bytes: int, rounds: int, attempts: int, compare: bool) -> Result:
        """Floor, migration and verification in turns; of each those count that others disturbed least."""
        source = QdrantSource(self.source, dataset.name)
        floors: list[Floor] = []
        runs: list[Run] = []
        checks: list[Run] = []
        equal = None
        with tempfile.TemporaryDirectory() as directory:
            prepared = floor.prepare(source, dataset.copy_name, batch_bytes, Path(directory))
            for number in range(attempts):
                create_target(self.target, source.describe().info, dataset.copy_name)
                self.load.wait_for_quiet(QUIET, self.patience)
                floors.append(floor.run(self.source.endpoint, self.target.endpoint, prepared, self.load))
                delete(self.target, dataset.copy_name)
                time.sleep(self.settle)
                self.load.wait_for_quiet(QUIET, self.patience)
                runs.append(self._migrate(dataset, "--batch-bytes", str(batch_bytes)))
                self.load.wait_for_quiet(QUIET, self.patience)
                checks.append(self._verify(dataset))
                if compare and equal is None:
                    equal = digest(self.source, dataset.name) == digest(self.target, dataset.copy_name)
                delete(self.target, dataset.copy_name)
                time.sleep(self.settle)
                click.echo(
                    f"  {dataset.title}, {shown(batch_bytes)}, round {number + 1}: floor {floors[-1].wall:.2f} s, "
                    f"copying {runs[-1].copying:.2f} s, verifying {checks[-1].copying:.2f} s; others took "
                    f"{floors[-1].others:.2f}, {runs[-1].others:.2f} and {checks[-1].others:.2f} cores",
                    err=True,
                )
                if all(sum(one.others <= QUIET for one in half) >= rounds for half in (floors, runs, checks)):
                    break
        quiet = quietest(floors, rounds), quietest(runs, rounds), quietest(checks, rounds)
        return Result(dataset, batch_bytes, prepared.batch, *quiet, equal)

    def _migrate(self, dataset: Dataset, *arguments: str) -> Run:
        ends = [
            "--source-url", self.source.endpoint.url, "--source-collection", dataset.name,
            "--target-url", self.target.endpoint.url, "--target-collection", dataset.copy_name,
            "--migration-offsets-collection-name", LEDGER, "--restart-migration", "-c",
        ]  # fmt: skip
        return self.fleet.migrate(*ends, *arguments)

    def _verify(self, dataset: Dataset) -> Run:
        """The migration that has just been made."""
        return self.fleet.migrate(
            "--target-url", self.target.endpoint.url, "--migration-offsets-collection-name", LEDGER,
            "--source-collection", dataset.name,
            kind="verify",
        )  # fmt: skip


def quietest(measured: Sequence[Measured], count: int) -> list[Measured]:
    """Those that others disturbed least."""
    return sorted(measured, key=lambda one: one.others)[:count]


def shown(size: int) -> str:
    """524288 is 512 KiB."""
    return f"{size // UNITS['M']} MiB" if size % UNITS["M"] == 0 else f"{size / 1024:g} KiB"


def parse_size(text: str) -> int:
    """`512K`, `2M` or a number of bytes."""
    unit = text[-1:].upper()
    return int(float(text[:-1]) * UNITS[unit]) if unit in UNITS else int(text)


def lines(result: Result, bars: Bars) -> Iterator[tuple[str, str, str, str]]:
    """Lines of the table: the measurement, the figure, its bar, and whether it is kept."""
    points = result.dataset.points
    floor_wall = result.floor(lambda f: f.wall)

    def ratio(seconds: float) -> tuple[str, str, str]:
        share = seconds / floor_wall
        return f"{seconds:.2f} s = {share:.2f} x floor", f"≤ {bars.ratio:.2f}", verdict(share <= bars.ratio)

    yield "floor, wall", f"{floor_wall:.2f} s = {points / floor_wall:,.0f} points/s", "", ""
    yield (
        "floor, its reading and writing",
        f"{result.floor(lambda f: f.reading):.2f} s, {result.floor(lambda f: f.writing):.2f} s",
        "",
        "",
    )
    yield "floor, CPU of its clients", f"{result.floor(lambda f: f.cpu) / points * 1e6:.1f} µs a point", "", ""
    yield "qmig, first chunk taken up to last done", *ratio(result.run(lambda r: r.copying))
    yield "qmig, as it reports", *ratio(result.run(lambda r: r.migration))
    yield "qmig, whole command", *ratio(result.run(lambda r: r.command))
    cpu = result.run(lambda r: r.workers_cpu)
    micro = cpu / points * 1e6
    # The bar is for points of 128 dimensions; larger ones have more bytes to move.
    small = result.dataset.size <= 128
    yield (
        "CPU of the workers",
        f"{micro:.1f} µs a point = {micro:.1f} s a million",
        f"≤ {bars.worker_microseconds:g} µs" if small else "",
        verdict(micro <= bars.worker_microseconds) if small else "",
    )
    coordinator = result.run(lambda r: r.coordinator_cpu)
    yield (
        "CPU of the coordinator",
        f"{coordinator:.2f} s",
        f"≤ {bars.coordinator_cpu:g} s",
        verdict(coordinator <= bars.coordinator_cpu),
    )
    share = result.run(lambda r: r.copying) / result.check(lambda r: r.copying)
    yield (
        "verifying, first chunk to last",
        f"{result.check(lambda r: r.copying):.2f} s = {share:.0%} of the copying's rate",
        f"≥ {bars.verify_share:.0%}",
        verdict(share >= bars.verify_share),
    )
    micro = result.check(lambda r: r.workers_cpu) / points * 1e6
    yield "verifying, CPU of the workers", f"{micro:.1f} µs a point", "", ""
    memory = result.largest(lambda r: r.worker_memory)
    yield (
        "peak memory of a worker",
        f"{memory:.0f} MiB",
        f"≤ {bars.worker_memory:g} MiB",
        verdict(memory <= bars.worker_memory),
    )
    yield "peak memory of the coordinator", f"{result.largest(lambda r: r.coordinator_memory):.0f} MiB", "", ""
    others = max(one.others for one in (*result.floors, *result.runs, *result.checks))
    yield "cores that others took meanwhile", f"at most {others:.2f}", "", "quiet" if others <= QUIET else "NOISY"
    if result.equal is not None:
        yield "contents", "equal" if result.equal else "NOT EQUAL", "equal", verdict(result.equal)


def verdict(holds: bool) -> str:
    return "holds" if holds else "MISSED"


def table(result: Result, bars: Bars) -> str:
    head = f"{result.dataset.title}, batches of {shown(result.batch_bytes)} ({result.batch:,} points), "
    head += f"median of {len(result.runs)} rounds"
    rows = [f"  {what:<38} {figure:<34} {bar:<10} {holds}" for what, figure, bar, holds in lines(result, bars)]
    return "\n".join([head, *(row.rstrip() for row in rows)])


def status(results: Sequence[Result]) -> str:
    """One line a size of batch, to choose the default from."""
    rows = [
        f"{'collection':<18} {'batch':>8} {'points':>7} {'floor':>8} {'copying':>9} {'ratio':>6} "
        f"{'µs/point':>9} {'MiB':>5}"
    ]
    for result in results:
        floor_wall, copying = result.floor(lambda f: f.wall), result.run(lambda r: r.copying)
        rows.append(
            f"{result.dataset.title:<18} {shown(result.batch_bytes):>8} {result.batch:>7,} {floor_wall:>6.2f} s "
            f"{copying:>7.2f} s {copying / floor_wall:>6.2f} "
            f"{result.run(lambda r: r.workers_cpu) / result.dataset.points * 1e6:>9.1f} "
            f"{result.largest(lambda r: r.worker_memory):>5.0f}"
        )
    return "\n".join(rows)


def endpoint(url: str | None, option: str, stack: ExitStack) -> Endpoint:
    """The server at `url`, or an embedded one for as long as the benchmark runs."""
    if url is None:
        directory = stack.enter_context(tempfile.TemporaryDirectory())
        url = stack.enter_context(EmbeddedQdrant(Path(directory))).url
    return Endpoint.parse(url, option)


@click.command()
@click.option("--source-url", help="gRPC URL of the source; without it an embedded endpoint.")
@click.option("--target-url", help="gRPC URL of the target; without it an embedded endpoint.")
@click.option(
    "--points", "datasets", default="200000x128,50000x768", show_default=True, help="Collections: POINTSxSIZE,…"
)
@click.option(
    "--batch-bytes", default=str(Options().batch_bytes), show_default=True, help="Sizes of a batch: 128K,1M,…"
)
@click.option("--rounds", type=click.IntRange(1), default=3, show_default=True, help="Floor and qmig, in turns.")
@click.option(
    "--attempts",
    type=click.IntRange(1),
    help="Rounds to try at most until so many are undisturbed by others on this machine; twice the rounds.",
)
@click.option("--settle", type=float, default=2.0, show_default=True, help="Seconds of rest between two runs.")
@click.option(
    "--patience", type=float, default=0.0, show_default=True, help="Seconds to wait for a quiet machine before a run."
)
@click.option("--compare/--no-compare", default=True, show_default=True, help="Compare the contents at the end.")
@click.option("--keep", is_flag=True, help="Leave the source collections for the next time.")
def main(
    source_url: str | None,
    target_url: str | None,
    datasets: str,
    batch_bytes: str,
    rounds: int,
    attempts: int | None,
    settle: float,
    patience: float,
    compare: bool,
    keep: bool,
) -> None:
    """Measure qmig beside the servers' own floor."""
    wanted = [Dataset.parse(text) for text in datasets.split(",")]
    sizes = [parse_size(text) for text in batch_bytes.split(",")]
    results: list[Result] = []
    with ExitStack() as stack:
        source = stack.enter_context(Server(endpoint(source_url, "--source-url", stack), "source"))
        target = stack.enter_context(Server(endpoint(target_url, "--target-url", stack), "target"))
        kinds = ["Qdrant" if url else "embedded Qdrant" for url in (source_url, target_url)]
        click.echo(f"source: {kinds[0]} {server_version(source)}, target: {kinds[1]} {server_version(target)}")
        load = OtherLoad([source.endpoint, target.endpoint])
        fleet = stack.enter_context(WarmFleet(floor.PROCESSES, load))
        bench = Bench(source, target, fleet, load, settle, patience)
        stack.callback(delete, target, LEDGER)
        bench.warm_up()
        for dataset in wanted:
            stack.callback(delete, target, dataset.copy_name)
            if not keep:
                stack.callback(delete, source, dataset.name)
            dataset.make(source)
            time.sleep(settle)
            for size in sizes:
                results.append(
                    bench.measure(
                        dataset, size, rounds, max(rounds, attempts or 2 * rounds), compare and size == sizes[-1]
                    )
                )
                click.echo("\n" + table(results[-1], Bars()))
    if len(sizes) > 1:
        click.echo("\n" + status(results))


if __name__ == "__main__":
    main()
