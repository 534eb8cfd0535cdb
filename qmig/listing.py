"""What `qmig list` prints: a table with a few lines a migration."""

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from qmig.figures import SHOWN_ID, moment, percent
from qmig.overview import End, Overview
from qmig.records import State, Work

STYLES = {State.RUNNING: "blue", State.DONE: "green", State.FAILED: "red", State.PAUSED: "yellow"}


def list_picture(overviews: Sequence[Overview]) -> Table:
    """Every migration: its ends, where it stands, how fast it is, when it was."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("MIGRATION", no_wrap=True)
    table.add_column("STATE", no_wrap=True)
    # The one column that gives way where the terminal is narrow: not one that may not wrap.
    table.add_column("SOURCE → TARGET")
    table.add_column("POINTS", no_wrap=True, justify="right")
    table.add_column("%, RATE", no_wrap=True, justify="right")
    table.add_column("STARTED, FINISHED", no_wrap=True)
    for one in overviews:
        table.add_row(
            one.id[:SHOWN_ID] + ("\nverifies" if one.work == Work.VERIFY else ""),
            Text(one.state, style=STYLES.get(one.state, "")),
            Text(f"{_end(one.source)}\n→ {_end(one.target)}", no_wrap=True, overflow="ellipsis"),
            f"{one.points:,}\nof {one.expected_points:,}",
            percent(one.share) + (f"\n{one.points_per_second:,.0f}/s" if one.points_per_second is not None else ""),
            moment(one.started) + (f"\n{moment(one.finished)}" if one.finished is not None else ""),
        )
    return table


def _end(end: End) -> str:
    return f"{end.collection} at {end.url}"
