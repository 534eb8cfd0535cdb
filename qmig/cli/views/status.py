"""The output of `qmig status`: the status of one migration."""

from collections.abc import Iterator

from rich.console import Group
from rich.table import Table
from rich.text import Text

from qmig.cli.views.migrations_table import STYLES
from qmig.formatting import duration, format_datetime, megabytes, percent, pluralize, short_duration, since
from qmig.monitor.status import ChunkStatus, MigrationStatus

#: Workers that are listed; the others are only counted.
MAX_STATUS_WORKERS = 32
#: Failed chunks that are listed; the others are only counted.
MAX_STATUS_FAILURES = 10


def status_table(status: MigrationStatus) -> Group:
    """The status, for a terminal or as plain text."""
    head = Text.assemble(
        (status.title, "bold"),
        "  ",
        (status.state, STYLES.get(status.state, "")),
        f"  {percent(status.share)}",
    )
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in _lines(status):
        grid.add_row(f"  {name}", value)
    return Group(head, grid)


def _lines(status: MigrationStatus) -> Iterator[tuple[str, str | Table]]:
    yield "migration", status.id
    if status.verifies is not None:
        yield "verifies", status.verifies
    yield "source", f"{status.source.collection} at {status.source.url}"
    yield "target", f"{status.target.collection} at {status.target.url}"
    yield "points", f"{status.points:,} of {status.expected_points:,} expected, {megabytes(status.bytes)}"
    if status.rejected_points:
        yield "rejects", f"{status.rejected_points:,} points; `qmig rejects {status.id}` lists them"
    if status.verdict is not None:
        yield from _named("result", [status.verdict.headline, *status.verdict.exceptions])
    if status.compared_ids is not None:
        yield "comparing", f"{status.compared_ids:,} ids of the source are looked up in the target so far"
    if status.findings is not None:
        yield "found", status.findings.text or "all points are equal"
    if status.points_per_second is not None and status.bytes_per_second is not None:
        rate = f"{status.points_per_second:,.0f} points/s, {megabytes(status.bytes_per_second)}/s"
        yield "rate", f"{rate}, over the last {status.rate_seconds:.0f} s"
    if status.max_rate is not None:
        yield "limit", f"{status.max_rate:,} points/s"
    if status.eta_seconds is not None:
        yield "left", duration(status.eta_seconds)
    yield "started", format_datetime(status.started)
    if status.finished is not None:
        yield "finished", format_datetime(status.finished)
    states = ", ".join(f"{count:,} {state}" for state, count in status.chunk_states.items())
    yield "chunks", f"{status.chunks:,}{'' if status.planned else ' so far'}: {states or 'not planned yet'}"
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in status.retry_reasons.items())
    yield "retries", f"{status.retries:,}{f': {reasons}' if reasons else ''}"
    yield from _named("waiting", [*([status.waiting] if status.waiting else []), *_waiting(status)])
    yield from _named("error", [text for text in (status.error, status.problem) if text])
    if status.workers:
        yield "workers", _workers(status)
    yield from _named("slowest", [_slow(chunk, status.chunks) for chunk in status.slowest_chunks])
    failed = [f"chunk {chunk.index + 1}/{status.chunks}: {chunk.error}" for chunk in status.failed_chunks]
    more = [f"and {len(failed) - MAX_STATUS_FAILURES:,} more"] if len(failed) > MAX_STATUS_FAILURES else []
    yield from _named("failed", failed[:MAX_STATUS_FAILURES] + more)


def _named(name: str, lines: list[str]) -> Iterator[tuple[str, str]]:
    """The lines, with the name before the first."""
    for number, line in enumerate(lines):
        yield ("" if number else name), line


def _waiting(status: MigrationStatus) -> list[str]:
    return [
        f"{pluralize(waiting.chunks, 'chunk')}: {waiting.reason}"
        f"{'' if waiting.seconds is None else f', {since(waiting.seconds)}'}"
        for waiting in status.waiting_chunks
    ]


def _slow(chunk: ChunkStatus, chunks: int) -> str:
    rate = f", {chunk.points_per_second:,.0f} points/s" if chunk.points_per_second is not None else ""
    return f"chunk {chunk.index + 1}/{chunks}: {short_duration(chunk.seconds)}, {chunk.points:,} points{rate}"


def _workers(status: MigrationStatus) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("host/process", overflow="ellipsis", no_wrap=True)
    for name in ("chunk", "points", "points/s", "share"):
        table.add_column(name, justify="right", no_wrap=True)
    for worker in status.workers[:MAX_STATUS_WORKERS]:
        chunk = worker.chunk
        table.add_row(
            f"{worker.host}/{worker.process}",
            f"{chunk.index + 1}/{status.chunks}",
            f"{chunk.points:,} of ~{chunk.expected_points:,}",
            f"{worker.points_per_second:,.0f}" if worker.points_per_second is not None else "",
            percent(worker.share) if worker.share is not None else "",
        )
    if len(status.workers) > MAX_STATUS_WORKERS:
        table.add_row(f"and {len(status.workers) - MAX_STATUS_WORKERS:,} more")
    return table
