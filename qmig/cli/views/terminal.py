"""Pictures on stdout: as wide as the terminal and replaced in place, plain and one after the other elsewhere."""

from types import TracebackType

from rich.console import Console, RenderableType
from rich.live import Live

# Wide enough for whatever a pipe is to take.
NO_LIMIT = 10_000


class TerminalOutput:
    """What a command shows, once or, `changing`, again and again; in a terminal the last picture stays."""

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

    def show(self, picture: RenderableType) -> None:
        """Show a picture made with rich, in place of the one before."""
        if not self._console.is_terminal or self._console.is_dumb_terminal:
            print(_plain(picture), flush=True)
        elif not self._changing:
            self._console.print(picture)
        elif self._live is None:
            self._live = Live(picture, console=self._console, auto_refresh=False)
            self._live.start(refresh=True)
        else:
            self._live.update(picture, refresh=True)


def _plain(picture: RenderableType) -> str:
    console = Console(highlight=False, width=NO_LIMIT, no_color=True)
    with console.capture() as captured:
        console.print(picture)
    return "\n".join(line.rstrip() for line in captured.get().splitlines())
