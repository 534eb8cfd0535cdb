"""What `qmig list` prints: a few lines a migration, in a table where there is room for one."""

from collections.abc import Sequence

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from qmig.formatting import SHOWN_ID, format_datetime, percent
from qmig.ledger.records import JobKind, State
from qmig.monitor.status import EndpointStatus, MigrationStatus

# Columns of the terminal.
ROOM_FOR_A_TABLE = 80
STYLES = {State.RUNNING: "blue", State.DONE: "green", State.FAILED: "red", State.PAUSED: "yellow"}


class MigrationsTable:
    """Every migration: its ends, where it stands, how fast it is, when it was; lines where a table has no room."""

    def __init__(self, statuses: Sequence[MigrationStatus]) -> None:
        self._overviews = statuses

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> RenderResult:
        if options.max_width >= ROOM_FOR_A_TABLE:
            yield _table(self._overviews)
        else:
            yield from map(_lines, self._overviews)


def _lines(one: MigrationStatus) -> Text:
    verifies = "  verifies" if one.job == JobKind.VERIFY else ""
    rate = f"  {one.points_per_second:,.0f}/s" if one.points_per_second is not None else ""
    times = [format_datetime(one.started)] + ([format_datetime(one.finished)] if one.finished is not None else [])
    return Text.assemble(
        f"{one.id[:SHOWN_ID]}{verifies}  ",
        (one.state, STYLES.get(one.state, "")),
        f"  {percent(one.share)}{rate}\n",
        f"  {_end(one.source)}\n  → {_end(one.target)}\n",
        f"  {one.points:,} of {one.expected_points:,}\n",
        f"  {' – '.join(times)}",
    )


def _table(statuses: Sequence[MigrationStatus]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("MIGRATION", no_wrap=True)
    table.add_column("STATE", no_wrap=True)
    # The one column that gives way where the terminal is narrow: not one that may not wrap.
    table.add_column("SOURCE → TARGET")
    table.add_column("POINTS", no_wrap=True, justify="right")
    table.add_column("%, RATE", no_wrap=True, justify="right")
    table.add_column("STARTED, FINISHED", no_wrap=True)
    for one in statuses:
        table.add_row(
            one.id[:SHOWN_ID] + ("\nverifies" if one.job == JobKind.VERIFY else ""),
            Text(one.state, style=STYLES.get(one.state, "")),
            Text(f"{_end(one.source)}\n→ {_end(one.target)}", no_wrap=True, overflow="ellipsis"),
            f"{one.points:,}\nof {one.expected_points:,}",
            percent(one.share) + (f"\n{one.points_per_second:,.0f}/s" if one.points_per_second is not None else ""),
            format_datetime(one.started) + (f"\n{format_datetime(one.finished)}" if one.finished is not None else ""),
        )
    return table


def _end(end: EndpointStatus) -> str:
    return f"{end.collection} at {end.url}"
