"""What `qmig status` prints: all that there is to know of one migration."""

from collections.abc import Iterator

from rich.console import Group
from rich.table import Table
from rich.text import Text

from qmig.cli.views.migrations_table import STYLES
from qmig.formatting import duration, format_datetime, megabytes, percent, pluralize, short_duration
from qmig.ledger.findings import Findings
from qmig.monitor.status import ChunkStatus, MigrationStatus

# Lines of each kind that fit on a screen; the rest is counted.
SHOWN_WORKERS = 32
SHOWN_FAILURES = 10


def status_picture(status: MigrationStatus) -> Group:
    """Where the migration stands."""
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


def _lines(one: MigrationStatus) -> Iterator[tuple[str, str | Table]]:
    yield "migration", one.id
    if one.verifies is not None:
        yield "verifies", one.verifies
    yield "source", f"{one.source.collection} at {one.source.url}"
    yield "target", f"{one.target.collection} at {one.target.url}"
    yield "points", f"{one.points:,} of {one.expected_points:,} expected, {megabytes(one.bytes)}"
    if one.rejected_points:
        yield "skipped", f"{one.rejected_points:,} points; `qmig rejects {one.id}` lists them"
    if one.findings is not None:
        yield "found", Findings.from_dict(one.findings).text or "all of them equal"
    if one.points_per_second is not None and one.bytes_per_second is not None:
        rate = f"{one.points_per_second:,.0f} points/s, {megabytes(one.bytes_per_second)}/s"
        yield "rate", f"{rate}, over the last {one.rate_seconds:.0f} s"
    if one.max_rate is not None:
        yield "limit", f"{one.max_rate:,} points/s"
    if one.eta_seconds is not None:
        yield "left", duration(one.eta_seconds)
    yield "started", format_datetime(one.started)
    if one.finished is not None:
        yield "finished", format_datetime(one.finished)
    states = ", ".join(f"{count:,} {state}" for state, count in one.chunk_states.items())
    yield "chunks", f"{one.chunks:,}{'' if one.planned else ' so far'}: {states or 'not planned yet'}"
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in one.retry_reasons.items())
    yield "retries", f"{one.retries:,}{f': {reasons}' if reasons else ''}"
    yield from _named("waiting", [*([one.waiting] if one.waiting else []), *_waiting(one)])
    yield from _named("error", [text for text in (one.error, one.problem) if text])
    if one.workers:
        yield "workers", _workers(one)
    yield from _named("slowest", [_slow(chunk, one.chunks) for chunk in one.slowest_chunks])
    failed = [f"chunk {chunk.index + 1}/{one.chunks}: {chunk.error}" for chunk in one.failed_chunks]
    more = [f"and {len(failed) - SHOWN_FAILURES:,} more"] if len(failed) > SHOWN_FAILURES else []
    yield from _named("failed", failed[:SHOWN_FAILURES] + more)


def _named(name: str, lines: list[str]) -> Iterator[tuple[str, str]]:
    """The name before the first line only."""
    for number, line in enumerate(lines):
        yield ("" if number else name), line


def _waiting(one: MigrationStatus) -> list[str]:
    return [f"{pluralize(waiting.chunks, 'chunk')}: {waiting.reason}" for waiting in one.waiting_chunks]


def _slow(chunk: ChunkStatus, chunks: int) -> str:
    rate = f", {chunk.points_per_second:,.0f} points/s" if chunk.points_per_second is not None else ""
    return f"chunk {chunk.index + 1}/{chunks}: {short_duration(chunk.seconds)}, {chunk.points:,} points{rate}"


def _workers(one: MigrationStatus) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("host/process", overflow="ellipsis", no_wrap=True)
    for name in ("chunk", "points", "points/s", "share"):
        table.add_column(name, justify="right", no_wrap=True)
    for worker in one.workers[:SHOWN_WORKERS]:
        chunk = worker.chunk
        table.add_row(
            f"{worker.host}/{worker.process}",
            f"{chunk.index + 1}/{one.chunks}",
            f"{chunk.points:,} of ~{chunk.expected_points:,}",
            f"{worker.points_per_second:,.0f}" if worker.points_per_second is not None else "",
            percent(worker.share) if worker.share is not None else "",
        )
    if len(one.workers) > SHOWN_WORKERS:
        table.add_row(f"and {len(one.workers) - SHOWN_WORKERS:,} more")
    return table
