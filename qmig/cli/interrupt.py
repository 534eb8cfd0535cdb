"""Ctrl-C and SIGTERM: the first stops a command in order, the second at once."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from qmig.errors import Interrupted


class Interruption:
    """Tells whether the command was interrupted. A second signal raises Interrupted at once."""

    def __init__(self) -> None:
        self._signalled = False

    def __call__(self) -> bool:
        return self._signalled

    def handle(self, _signal: int, _frame: FrameType | None) -> None:
        """Handle a signal."""
        if self._signalled:
            raise Interrupted(
                "interrupted again: stopped without waiting for the workers; the same command resumes from the ledger"
            )
        self._signalled = True


@contextmanager
def interruption() -> Iterator[Interruption]:
    """Handle Ctrl-C and SIGTERM for as long as the context is open."""
    handled = Interruption()
    before = {number: signal.signal(number, handled.handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield handled
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
