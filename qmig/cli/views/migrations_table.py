"""The output of `qmig list`: a table, or in a narrow terminal a few lines per migration."""

from collections.abc import Sequence

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from qmig.formatting import SHOWN_ID, format_datetime, percent
from qmig.ledger.records import JobKind, State
from qmig.monitor.status import EndpointStatus, MigrationStatus

#: Columns that a terminal must have for the table.
MIN_TABLE_WIDTH = 80
STYLES = {State.RUNNING: "blue", State.DONE: "green", State.FAILED: "red", State.PAUSED: "yellow"}


class MigrationsTable:
    """The migrations with their source, target, state, points, rate and times."""

    def __init__(self, statuses: Sequence[MigrationStatus]) -> None:
        self._statuses = statuses

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> RenderResult:
        if options.max_width >= MIN_TABLE_WIDTH:
            yield _table(self._statuses)
        else:
            yield from map(_lines, self._statuses)


def _lines(status: MigrationStatus) -> Text:
    verifies = "  verifies" if status.job == JobKind.VERIFY else ""
    return Text.assemble(
        f"{status.id[:SHOWN_ID]}{verifies}  ",
        (status.state, STYLES.get(status.state, "")),
        f"  {'  '.join(_share_and_rate(status))}\n",
        f"  {_endpoint(status.source)}\n  → {_endpoint(status.target)}\n",
        f"  {status.points:,} of {status.expected_points:,}\n",
        f"  {' – '.join(_times(status))}",
    )


def _table(statuses: Sequence[MigrationStatus]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("MIGRATION", no_wrap=True)
    table.add_column("STATE", no_wrap=True)
    # The only column that a narrow terminal shortens.
    table.add_column("SOURCE → TARGET")
    table.add_column("POINTS", no_wrap=True, justify="right")
    table.add_column("%, RATE", no_wrap=True, justify="right")
    table.add_column("STARTED, FINISHED", no_wrap=True)
    for status in statuses:
        table.add_row(
            status.id[:SHOWN_ID] + ("\nverifies" if status.job == JobKind.VERIFY else ""),
            Text(status.state, style=STYLES.get(status.state, "")),
            Text(f"{_endpoint(status.source)}\n→ {_endpoint(status.target)}", no_wrap=True, overflow="ellipsis"),
            f"{status.points:,}\nof {status.expected_points:,}",
            "\n".join(_share_and_rate(status)),
            "\n".join(_times(status)),
        )
    return table


def _share_and_rate(status: MigrationStatus) -> list[str]:
    rate = status.points_per_second
    return [percent(status.share), *([] if rate is None else [f"{rate:,.0f}/s"])]


def _times(status: MigrationStatus) -> list[str]:
    return [format_datetime(time) for time in (status.started, status.finished) if time is not None]


def _endpoint(endpoint: EndpointStatus) -> str:
    return f"{endpoint.collection} at {endpoint.url}"
