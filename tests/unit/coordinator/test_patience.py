"""A command waits for a server that is away: it says so once, and gives up after a time of its own clock."""

import pytest

from qmig.coordinator import patience
from qmig.coordinator.patience import SAID_AFTER, Patience
from qmig.errors import TerminalError

REASON = "target http://b:6334: connection refused"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time of the steady clock, which a test sets."""
    now = [1000.0]
    monkeypatch.setattr(patience.time, "monotonic", lambda: now[0])
    return now


def test_a_wait_is_said_once_and_given_up_after_its_time(clock: list[float]) -> None:
    said: list[str] = []
    waiting = Patience(said.append)
    waiting.wait(REASON, 60)
    assert said == []
    for _ in range(5):
        clock[0] += SAID_AFTER
        waiting.wait(REASON, 60)
    assert said == [f"{REASON}; waiting up to 1:00 (--retry-for)"]

    clock[0] = 1060.0
    with pytest.raises(TerminalError, match=r"refused; given up after 1:00 \(--retry-for\); .* same command resumes"):
        waiting.wait(REASON, 60)


def test_an_answer_ends_the_wait(clock: list[float]) -> None:
    said: list[str] = []
    waiting = Patience(said.append)
    for _ in range(5):
        waiting.wait(REASON, 60)
        clock[0] += 50
        waiting.end()
    assert said == []
