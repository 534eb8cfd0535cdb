"""Who follows a migration is told why nothing moves."""

import threading
from types import SimpleNamespace
from typing import Any, cast

import pytest

from qmig.coordinator import follow as following
from qmig.coordinator.follow import Follower
from qmig.ledger.records import State
from qmig.monitor.progress import Progress
from tests.support.waiting import PATIENCE


class View:
    """Keeps the warnings; `warned` is set with the first."""

    def __init__(self) -> None:
        self.warnings: list[str] = []
        self.warned = threading.Event()

    def say(self, text: str) -> None:
        pass

    def show(self, progress: Progress) -> None:
        pass

    def warn(self, text: str) -> None:
        self.warnings.append(text)
        self.warned.set()


def reader(refresh: Any) -> Any:
    """A reader of a migration that is done when it is first read."""
    return SimpleNamespace(
        refresh=refresh,
        ledger=SimpleNamespace(server=SimpleNamespace(endpoint=SimpleNamespace(url="http://b:6334"))),
        record=SimpleNamespace(state=State.DONE),
        reconciliation=SimpleNamespace(notices=[]),
    )


def test_a_target_that_hangs_is_said_while_it_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "SILENT_AFTER", 0.05)
    view = View()

    def look() -> Progress:
        assert view.warned.wait(PATIENCE), "nothing was said while the target did not answer"
        return Progress(1, 1)

    Follower(reader(look), None, view).follow(cast(Any, None))

    assert view.warnings == ["target http://b:6334 has not answered for 0.05 s; waiting"]


def test_one_that_answers_is_no_reason_to_warn() -> None:
    view = View()

    Follower(reader(lambda: Progress(1, 1)), None, view).follow(cast(Any, None))

    assert view.warnings == []
