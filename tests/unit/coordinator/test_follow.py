"""A command that follows a migration says why there is no progress."""

import threading
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any, cast

import pytest

from qmig.coordinator import follow as following
from qmig.coordinator.follow import Follower
from qmig.ledger.records import State
from qmig.migration import Endpoint
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
        ledger=SimpleNamespace(server=SimpleNamespace(endpoint=Endpoint("b", 6334), without_retries=nullcontext)),
        retry_for=0.3,
        record=SimpleNamespace(state=State.DONE),
        reconciliation=SimpleNamespace(notices=[]),
    )


def test_a_target_that_hangs_is_said_while_it_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "SILENT_AFTER", 0.05)
    view = View()

    def refresh() -> Progress:
        assert view.warned.wait(PATIENCE), "nothing was said while the target did not answer"
        return Progress(1, 1)

    Follower(reader(refresh), None, view).follow(cast(Any, None))

    assert view.warnings == ["target http://b:6334 has not answered for 0.05 s; waiting"]


def test_one_that_answers_is_no_reason_to_warn() -> None:
    view = View()

    Follower(reader(lambda: Progress(1, 1)), None, view).follow(cast(Any, None))

    assert view.warnings == []


def test_the_result_counts_from_the_first_refresh_and_names_the_notices() -> None:
    view = View()
    seen = iter([(State.RUNNING, 100), (State.RUNNING, 250), (State.DONE, 300)])
    following_reader = reader(cast(Any, None))

    def refresh() -> Progress:
        state, points = next(seen)
        following_reader.record = SimpleNamespace(state=state, waiting=None, planned=True)
        return Progress(1, 300, points=points)

    following_reader.refresh = refresh
    following_reader.reconciliation = SimpleNamespace(notices=["7 points were there before"])
    waits: list[float] = []

    result = Follower(following_reader, None, view, period="since attached").follow(waits.append)

    assert (result.points, result.progress.points, result.period) == (200, 300, "since attached")
    assert result.record.state == State.DONE
    assert len(waits) == 2
    assert view.warnings == ["7 points were there before"]
