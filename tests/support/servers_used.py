"""The servers that the tests of all processes used, printed at the end."""

from typing import Any

import pytest

_used: set[str] = set()


def note_server(role: str, server: str) -> None:
    """Remember a server for the list at the end."""
    _used.add(f"{role}: {server}")


class ServersUsed:
    """The plugin. Processes of pytest-xdist hand their lists over as they end."""

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        output = getattr(session.config, "workeroutput", None)
        if output is not None:
            output["servers"] = sorted(_used)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        _used.update(getattr(node, "workeroutput", {}).get("servers", ()))

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        terminalreporter.section("servers used")
        for line in sorted(_used):
            terminalreporter.line(line)
