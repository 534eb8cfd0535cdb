"""The cost of planning, which does not depend on the number of points; see benchmarks/README.md.

python benchmarks/planning.py --source-url http://a:6334 --target-url http://b:6334
"""

from __future__ import annotations

import multiprocessing
import random
import resource
import time
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, cast

import click
from collections_of_points import Dataset, delete
from measured_qmig import Run, WarmFleet, peak_memory
from other_load import OtherLoad
from throughput import endpoint, verdict

from qmig.coordinator.plan import cut, plan_size
from qmig.ledger.collection import is_value
from qmig.ledger.ledger import Ledger
from qmig.migration import Endpoint
from qmig.qdrant import messages as api
from qmig.qdrant.reader import CollectionReader
from qmig.qdrant.server import Server, server_version

LEDGER = "qmig-benchmark-plans"
PLAN_SECONDS = 2.0
COORDINATOR_CPU = 1.5
COORDINATOR_MEMORY = 300.0
BILLION = 1_000_000_000


class SimulatedServer:
    """A Qdrant with a billion points, as far as planning asks: it counts, and samples ids."""

    def __init__(self) -> None:
        self.endpoint = Endpoint("simulated", 0)
        self.collections = SimpleNamespace(Get=self._get)
        self.points = SimpleNamespace(Count=self._count, Query=self._query)
        self._random = random.Random(1)

    def raw_method(self, path: str) -> str:
        return path

    def call(self, method: Callable[[Any], Any], request: Any, **_: Any) -> Any:
        return method(request)

    def _get(self, _: Any) -> api.GetCollectionInfoResponse:
        return api.GetCollectionInfoResponse(result=api.CollectionInfo(points_count=BILLION))

    def _count(self, _: Any) -> api.CountResponse:
        return api.CountResponse(result=api.CountResult(count=BILLION))

    def _query(self, request: api.QueryPoints) -> api.QueryResponse:
        ids = (api.PointId(num=self._random.randrange(BILLION)) for _ in range(request.limit))
        return api.QueryResponse(result=[api.ScoredPoint(id=one) for one in ids])


@dataclass(frozen=True)
class Planned:
    """A plan made and recorded by a process of its own: seconds for each step, its CPU and peak memory."""

    chunks: int
    plan: float
    ledger: float
    cpu: float
    memory: float


def measure_plan(target: Endpoint, source: Endpoint | None, collection: str, chunk_size: int) -> Planned:
    """Plan `collection`, or where there is no source a billion simulated points, and write the plan."""
    spawn = multiprocessing.get_context("spawn")
    answers: Any = spawn.Queue()
    process = spawn.Process(target=_plan, args=(target, source, collection, chunk_size, answers))
    process.start()
    planned: Planned = answers.get(timeout=600)
    process.join()
    return planned


def _plan(target: Endpoint, source: Endpoint | None, collection: str, chunk_size: int, answers: Any) -> None:
    migration = str(uuid.uuid4())
    with ExitStack() as stack:
        simulated = cast(Server, SimulatedServer())
        reading = simulated if source is None else stack.enter_context(Server(source, "source"))
        ledger = Ledger(stack.enter_context(Server(target, "target")), LEDGER)
        ledger.create()
        before = resource.getrusage(resource.RUSAGE_SELF)
        began = time.monotonic()
        sampled = CollectionReader(reading, collection)
        chunks = list(cut(sampled, plan_size(sampled, chunk_size), migration))
        planned = time.monotonic()
        ledger.save_chunks(chunks)
        recorded = time.monotonic()
        after = resource.getrusage(resource.RUSAGE_SELF)
        ledger.delete(api.PointsSelector(filter=api.Filter(must=[is_value("migration", migration)])))
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    answers.put(
        Planned(
            len(chunks),
            planned - began,
            recorded - planned,
            cpu,
            peak_memory(multiprocessing.current_process().pid or 0),
        )
    )


def print_plan(title: str, planned: Planned, bar: bool) -> None:
    seconds = planned.plan + planned.ledger
    held = f"≤ {PLAN_SECONDS:g} s {verdict(seconds <= PLAN_SECONDS)}" if bar else ""
    click.echo(
        f"  {title:<30} {planned.chunks:>6,} chunks: plan {planned.plan:.2f} s, ledger {planned.ledger:.2f} s, "
        f"CPU {planned.cpu:.2f} s, {planned.memory:.0f} MiB  {held}".rstrip()
    )


def print_coordinator(title: str, run: Run) -> None:
    cpu, memory = run.coordinator_cpu, run.coordinator_memory
    click.echo(
        f"  {title:<42} CPU {cpu:.2f} s  ≤ {COORDINATOR_CPU:g} s {verdict(cpu <= COORDINATOR_CPU)}; "
        f"peak memory {memory:.0f} MiB  ≤ {COORDINATOR_MEMORY:g} MiB {verdict(memory <= COORDINATOR_MEMORY)}"
    )


@click.command()
@click.option("--source-url", help="gRPC URL of the source; without it an embedded endpoint.")
@click.option("--target-url", help="gRPC URL of the target; without it an embedded endpoint.")
@click.option("--seconds", type=float, default=20.0, show_default=True, help="How long a coordinator is watched.")
@click.option("--whole", is_flag=True, help="Copy the 20,000 chunks to the end with two workers.")
@click.option("--keep", is_flag=True, help="Leave the source collections for the next time.")
def main(source_url: str | None, target_url: str | None, seconds: float, whole: bool, keep: bool) -> None:
    """Measure planning, and a coordinator with many chunks."""
    small, large = Dataset(20_000, 128), Dataset(200_000, 128)
    with ExitStack() as stack:
        source = stack.enter_context(Server(endpoint(source_url, "--source-url", stack), "source"))
        target = stack.enter_context(Server(endpoint(target_url, "--target-url", stack), "target"))
        click.echo(f"source: {server_version(source)}, target: {server_version(target)}")
        for name in (LEDGER, large.copy_name):
            stack.callback(delete, target, name)
        for dataset in (small, large):
            if not keep:
                stack.callback(delete, source, dataset.name)
            dataset.make(source)
        click.echo("planning and recording the plan")
        ends = target.endpoint, source.endpoint
        print_plan("20,000 points", measure_plan(*ends, small.name, 10), True)
        print_plan("200,000 points", measure_plan(*ends, large.name, 100), True)
        print_plan("1,000,000,000 simulated points", measure_plan(ends[0], None, "", BILLION // 2_000), True)
        print_plan("200,000 points", measure_plan(*ends, large.name, 10), False)
        print_plan("1,000,000,000 simulated points", measure_plan(ends[0], None, "", BILLION // 20_000), False)

        fleet = stack.enter_context(WarmFleet(2, OtherLoad([source.endpoint, target.endpoint])))
        if not whole:
            fleet.stop_workers()

        def coordinate(chunk_size: int, stop_after: float | None) -> Run:
            """A coordinator of its own; without workers it watches chunks that wait."""
            run = fleet.migrate(
                "--source-url", source.endpoint.url, "--source-collection", large.name,
                "--target-url", target.endpoint.url, "--target-collection", large.copy_name,
                "--migration-offsets-collection-name", LEDGER, "--chunk-size", str(chunk_size),
                "--restart-migration", "-c", stop_after=stop_after,
            )  # fmt: skip
            delete(target, large.copy_name)
            delete(target, LEDGER)
            return run

        click.echo("the coordinator, from its start on")
        if not whole:
            short, long = (coordinate(200, stop_after) for stop_after in (seconds, 4 * seconds))
            print_coordinator(f"1,000 chunks, stopped after {seconds:g} s", short)
            watching = (long.coordinator_cpu - short.coordinator_cpu) / (3 * seconds) * 3600
            hour = f"CPU {watching:.0f} s" if watching > 0 else "too little to be measured"
            click.echo(f"  {'each further hour of watching':<42} {hour}")
        run = coordinate(10, None if whole else seconds)
        how = f"copied in {run.command:.0f} s" if whole else f"stopped after {seconds:g} s"
        print_coordinator(f"20,000 chunks, {how}", run)


if __name__ == "__main__":
    main()
