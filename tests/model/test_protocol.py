"""The protocol as a state machine: commands, workers, supervisors and people, stopped and killed anywhere.

`make test_model EXAMPLES=2000` tries more schedules, each time others. One that fails becomes a test in
test_schedules.py.
"""

import os
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.model.conftest import MakeWorld
from tests.model.machine import Protocol

EXAMPLES = int(os.environ.get("EXAMPLES", "25"))
IS_LONG = "EXAMPLES" in os.environ


def test_protocol(make_world: MakeWorld) -> None:
    class Bound(Protocol):
        pass

    Bound.make_world = staticmethod(make_world)
    ours: dict[str, Any] = {
        "max_examples": EXAMPLES,
        "stateful_step_count": 20,
        "deadline": None,
        "derandomize": not IS_LONG,
        "database": None,
        "print_blob": True,
        # Making a schedule shorter takes minutes.
        "phases": (Phase.generate, Phase.shrink) if IS_LONG else (Phase.generate,),
        "suppress_health_check": list(HealthCheck),
    }
    run_state_machine_as_test(Bound, settings=settings(**ours))
