"""A short run of random faults; `make test_faults` runs them for longer."""

import pytest

from tests.support.random_faults import Mix

SECONDS = 20.0


@pytest.mark.parametrize("seed", [7])
def test_random_faults_lose_nothing(seed: int) -> None:
    Mix(seed, points=20_000).run(SECONDS)
