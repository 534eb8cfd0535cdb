"""While a batch is being checked the next one is under way, and only one."""

from collections.abc import Iterator

import pytest

from qmig.jobs.recheck import one_ahead


@pytest.mark.parametrize("count", range(5))
def test_each_item_is_handed_out_once_the_next_one_was_started(count: int) -> None:
    steps: list[tuple[str, int]] = []

    def started() -> Iterator[int]:
        for number in range(count):
            steps.append(("started", number))
            yield number

    for number in one_ahead(started()):
        steps.append(("checked", number))

    assert [number for step, number in steps if step == "checked"] == list(range(count))
    for number in range(count):
        at = steps.index(("checked", number))
        assert steps[:at].count(("started", number)) == 1
        assert sum(step == "started" for step, _ in steps[:at]) == min(count, number + 2)
