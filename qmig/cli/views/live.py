"""The live view of a migration: a progress bar in a terminal, a plain line every few seconds elsewhere."""

import os
import time
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from qmig.formatting import duration, megabytes, percent, pluralize, since
from qmig.ledger.owner import Owner
from qmig.ledger.records import State
from qmig.monitor.progress import Progress
from qmig.monitor.rates import Rate, Sample
from qmig.monitor.waits import waits_of

#: Seconds between two plain lines.
PLAIN_LINE_INTERVAL = 5.0
#: Seconds that the rate covers.
LIVE_RATE_WINDOW = 10.0
#: Workers that fit below the bar; the others are only counted.
MAX_LIVE_WORKERS = 16


class LiveView:
    """Shows one migration on stderr, so that stdout has only the result. A quiet view shows only warnings."""

    def __init__(self, title: str, quiet: bool = False) -> None:
        self._title = title
        self._quiet = quiet
        self._console = Console(stderr=True, highlight=False)
        # The log of a CI job may look like a terminal, but it cannot be redrawn.
        self._redraws = self._console.is_terminal and not self._console.is_dumb_terminal and "CI" not in os.environ
        self._live: Live | None = None
        self._began = time.monotonic()
        self._last_line = 0.0
        self._rate = Rate(over=LIVE_RATE_WINDOW, skips_idle_start=True)

    def __enter__(self) -> "LiveView":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def say(self, text: str) -> None:
        if not self._quiet:
            self._console.print(text, markup=False, soft_wrap=True)

    def warn(self, text: str) -> None:
        self._console.print(f"[yellow]warning:[/yellow] {escape(text)}", soft_wrap=True)

    def show(self, progress: Progress) -> None:
        if self._quiet:
            return
        now = time.monotonic()
        self._rate.add(Sample(now, progress.points, progress.bytes))
        if self._redraws:
            if self._live is None:
                self._live = Live(console=self._console, auto_refresh=False, transient=True)
                self._live.start()
            self._live.update(self._render(progress), refresh=True)
        elif progress.chunks and now - self._last_line >= PLAIN_LINE_INTERVAL:
            self._last_line = now
            self._console.print(self._line(progress), markup=False, soft_wrap=True)

    def close(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _line(self, progress: Progress) -> str:
        points, size = self._speed()
        states = ", ".join(f"{count:,} {state}" for state, count in sorted(progress.states.items()) if count)
        waiting = "".join(f" · waiting: {wait.reason}, {since(wait.seconds)}" for wait in waits_of(progress.running))
        left = self._left(progress)
        return (
            f"{self._title}  {percent(progress.share)}  {progress.points:,}/{progress.total:,} points  "
            f"{points:,.0f} points/s  {megabytes(size)}/s{left}  chunks: {states}{waiting}"
        )

    def _left(self, progress: Progress) -> str:
        """The time that is left; empty before there is a rate, and while no worker holds a chunk."""
        rate, _ = self._rate.per_second
        if not rate or not progress.running or progress.points >= progress.total:
            return ""
        return f"  {duration((progress.total - progress.points) / rate)} left"

    def _speed(self) -> tuple[float, float]:
        """Points and bytes a second; 0 before there is a rate."""
        points, size = self._rate.per_second
        return points or 0.0, size or 0.0

    def _render(self, progress: Progress) -> Group:
        points, size = self._speed()
        head = Table.grid(padding=(0, 1))
        head.add_row(
            Text(self._title, style="bold", overflow="ellipsis", no_wrap=True),
            ProgressBar(total=1.0, completed=progress.share, width=24),
            percent(progress.share),
            duration(time.monotonic() - self._began),
        )
        states = " · ".join(
            f"{progress.states[state]:,} {state}"
            for state in (State.PENDING, State.RUNNING, State.DONE, State.FAILED)
            if progress.states[state]
        )
        lines: list[Table | Text] = [
            head,
            Text(
                f"{progress.points:,}/{progress.total:,} points · {points:,.0f}/s · {megabytes(size)}/s"
                f"{self._left(progress).replace('  ', ' · ', 1)}"
                f"{f' · limit {progress.max_rate:,}/s' if progress.max_rate else ''}",
                no_wrap=True,
                overflow="ellipsis",
            ),
            Text(
                f"chunks: {states} · {pluralize(progress.retries, 'retry', 'retries')}",
                no_wrap=True,
                overflow="ellipsis",
            ),
        ]
        lines += [
            Text(f"waiting: {wait.text}", style="red", no_wrap=True, overflow="ellipsis")
            for wait in waits_of(progress.running)
        ]
        for chunk in progress.running[:MAX_LIVE_WORKERS]:
            worker = Owner.parse(chunk.owner).worker
            waiting = " · waiting" if chunk.waiting else ""
            lines.append(
                Text(
                    f"  {worker}  chunk {chunk.index + 1}/{progress.chunks}  "
                    f"{chunk.acknowledged:,}/~{chunk.expected:,}{waiting}",
                    style="red" if waiting else "dim",
                    no_wrap=True,
                    overflow="ellipsis",
                )
            )
        if len(progress.running) > MAX_LIVE_WORKERS:
            lines.append(
                Text(f"  and {pluralize(len(progress.running) - MAX_LIVE_WORKERS, 'more worker')}", style="dim")
            )
        return Group(*lines)
