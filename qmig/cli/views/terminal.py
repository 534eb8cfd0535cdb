"""Output on stdout: as wide as the terminal and redrawn in place there, plain text elsewhere."""

from types import TracebackType

from rich.console import Console, RenderableType
from rich.live import Live

#: Columns of the output where it does not go to a terminal: wide enough that no line wraps.
PLAIN_TEXT_WIDTH = 10_000


class TerminalOutput:
    """Prints what a command shows. With `changing`, a terminal redraws it in place, and the last one stays."""

    def __init__(self, changing: bool = False) -> None:
        self._changing = changing
        self._console = Console(highlight=False)
        self._live: Live | None = None

    def __enter__(self) -> "TerminalOutput":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, shown: RenderableType) -> None:
        """Print it, or redraw it in place of the last one."""
        if not self._console.is_terminal or self._console.is_dumb_terminal:
            print(_plain(shown), flush=True)
        elif not self._changing:
            self._console.print(shown)
        elif self._live is None:
            self._live = Live(shown, console=self._console, auto_refresh=False)
            self._live.start(refresh=True)
        else:
            self._live.update(shown, refresh=True)


def _plain(shown: RenderableType) -> str:
    console = Console(highlight=False, width=PLAIN_TEXT_WIDTH, no_color=True)
    with console.capture() as captured:
        console.print(shown)
    return "\n".join(line.rstrip() for line in captured.get().splitlines())
