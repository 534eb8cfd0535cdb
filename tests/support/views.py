"""Views for commands that run in the test's own process."""

from qmig.monitor.progress import Progress


class SilentView:
    """Shows nothing."""

    def say(self, text: str) -> None: ...

    def warn(self, text: str) -> None: ...

    def show(self, progress: Progress) -> None: ...
