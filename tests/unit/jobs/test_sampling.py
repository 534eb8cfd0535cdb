"""A sample is fair: it has about the requested share of every range, whatever the keys."""

import uuid
from collections.abc import Sequence

import pytest

from qmig.jobs.sampling import is_sampled

KEYS = {
    "numbers in a row": [str(number) for number in range(100_000)],
    "numbers far apart": [str(number * 2**40) for number in range(100_000)],
    "UUIDs": [str(uuid.uuid5(uuid.NAMESPACE_URL, str(number))) for number in range(100_000)],
}


@pytest.mark.parametrize("share", [0.005, 0.01, 0.1, 0.5])
@pytest.mark.parametrize("keys", KEYS.values(), ids=KEYS)
def test_a_share_of_every_chunk_is_chosen(keys: Sequence[str], share: float) -> None:
    for first in range(0, len(keys), 20_000):
        chosen = sum(is_sampled(key, share) for key in keys[first : first + 20_000])
        # Five standard deviations.
        assert abs(chosen - 20_000 * share) < 5 * (20_000 * share * (1 - share)) ** 0.5


def test_a_larger_share_holds_the_smaller_and_all_is_all() -> None:
    keys = KEYS["numbers in a row"][:10_000]
    small, large = ({key for key in keys if is_sampled(key, share)} for share in (0.01, 0.1))
    assert small < large
    assert all(is_sampled(key, 1.0) for key in keys)
