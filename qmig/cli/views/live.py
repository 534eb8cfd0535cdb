"""The view of a running migration: a bar where there is a terminal, plain lines every few seconds where not."""

import os
import time
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from qmig.formatting import duration, percent, pluralize
from qmig.ledger.owner import Owner
from qmig.ledger.records import State
from qmig.monitor.progress import Progress

# Seconds between two plain lines, and over which a rate is taken.
PLAIN_EVERY = 5.0
RATE_OVER = 10.0
SHOWN_WORKERS = 16


class LiveView:
    """Shows one migration on stderr, so that stdout carries the result alone; a quiet one shows warnings alone."""

    def __init__(self, title: str, quiet: bool = False) -> None:
        self._title = title
        self._quiet = quiet
        self._console = Console(stderr=True, highlight=False)
        # A log that only looks like a terminal is not redrawn.
        self._redraws = self._console.is_terminal and not self._console.is_dumb_terminal and "CI" not in os.environ
        self._live: Live | None = None
        self._began = time.monotonic()
        self._last_line = 0.0
        self._samples: list[tuple[float, int, int]] = []

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
        if self._samples and progress.points == self._samples[0][1]:
            # Nothing has moved yet: the rate begins when the first points arrive.
            self._samples.clear()
        self._samples.append((now, progress.points, progress.bytes))
        while len(self._samples) > 2 and now - self._samples[0][0] > RATE_OVER:
            self._samples.pop(0)
        if self._redraws:
            if self._live is None:
                self._live = Live(console=self._console, auto_refresh=False, transient=True)
                self._live.start()
            self._live.update(self._picture(progress), refresh=True)
        elif progress.chunks and now - self._last_line >= PLAIN_EVERY:
            self._last_line = now
            self._console.print(self._line(progress), markup=False, soft_wrap=True)

    def close(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _rates(self) -> tuple[float, float]:
        """Points and bytes a second over the last seconds."""
        (first, points, size), (last, points_now, size_now) = self._samples[0], self._samples[-1]
        span = last - first
        return ((points_now - points) / span, (size_now - size) / span) if span > 0 else (0.0, 0.0)

    def _line(self, progress: Progress) -> str:
        points, size = self._rates()
        states = ", ".join(f"{count:,} {state}" for state, count in sorted(progress.states.items()) if count)
        waiting = next((f" · waiting: {c.waiting}" for c in progress.running if c.waiting), "")
        left = self._left(progress, points)
        return (
            f"{self._title}  {percent(progress.share)}  {progress.points:,}/{progress.total:,} points  "
            f"{points:,.0f} points/s  {size / 1e6:,.1f} MB/s{left}  chunks: {states}{waiting}"
        )

    def _left(self, progress: Progress, rate: float) -> str:
        """The time that is left; nothing before there is a rate to tell it from, or while nobody is at work."""
        if not progress.running or rate <= 0 or len(self._samples) < 4 or progress.points >= progress.total:
            return ""
        return f"  {duration((progress.total - progress.points) / rate)} left"

    def _picture(self, progress: Progress) -> Group:
        points, size = self._rates()
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
                f"{progress.points:,}/{progress.total:,} points · {points:,.0f}/s · {size / 1e6:,.1f} MB/s"
                f"{self._left(progress, points).replace('  ', ' · ', 1)}"
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
        for chunk in progress.running[:SHOWN_WORKERS]:
            worker = Owner.parse(chunk.owner).worker
            waiting = f" · waiting: {chunk.waiting}" if chunk.waiting else ""
            lines.append(
                Text(
                    f"  {worker}  chunk {chunk.index + 1}/{progress.chunks}  "
                    f"{chunk.acknowledged:,}/~{chunk.expected:,}{waiting}",
                    style="red" if waiting else "dim",
                    no_wrap=True,
                    overflow="ellipsis",
                )
            )
        if len(progress.running) > SHOWN_WORKERS:
            lines.append(
                Text(f"  and {pluralize(len(progress.running) - SHOWN_WORKERS, 'more worker')}", style="dim")
            )
        return Group(*lines)
