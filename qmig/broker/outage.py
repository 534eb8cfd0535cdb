"""One line when the broker goes away, and one when it is back, however often it was tried in between."""

import logging


class OutageLog:
    """Logs the beginning and the end of an outage."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._problem: str | None = None

    def began(self, problem: str) -> None:
        """Log a problem, unless an outage is under way."""
        if self._problem is None:
            self._log.warning("%s", problem)
        self._problem = problem

    def ended(self, text: str) -> None:
        """Log that an outage is over, if there was one."""
        if self._problem is not None:
            self._log.warning("%s", text)
        self._problem = None
