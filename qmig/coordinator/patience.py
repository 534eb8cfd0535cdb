"""How long a command waits for a server that is away: it says so, and gives up in the end."""

import time
from collections.abc import Callable

from qmig.errors import TerminalError
from qmig.formatting import short_duration

#: Seconds of waiting before it is told: a moment is nothing to warn about.
SAID_AFTER = 5.0


class Patience:
    """Measures a wait by this process' own clock, and tells it once."""

    def __init__(self, warn: Callable[[str], None]) -> None:
        self._warn = warn
        self._since: float | None = None
        self._is_said = False

    def wait(self, reason: str, retry_for: float) -> None:
        """Note that an attempt has failed because of `reason`. TerminalError after `retry_for` seconds of that."""
        now = time.monotonic()
        self._since = now if self._since is None else self._since
        waited = now - self._since
        if waited >= retry_for:
            raise TerminalError(
                f"{reason}; given up after {short_duration(retry_for)} (--retry-for); everything acknowledged is in "
                "the ledger, and the same command resumes"
            )
        if waited >= SAID_AFTER and not self._is_said:
            self._is_said = True
            self._warn(f"{reason}; waiting up to {short_duration(retry_for)} (--retry-for)")

    def end(self) -> None:
        """Note that an attempt has succeeded."""
        self._since, self._is_said = None, False
