"""A rate covers the last minute of samples, and does not exist before there are enough."""

from dataclasses import replace

import pytest

from qmig.ledger.records import ChunkRecord, State
from qmig.monitor.rates import Rate, Sample, WorkerRates


def rate_of(*samples: tuple[float, int]) -> Rate:
    rate = Rate()
    for time, points in samples:
        rate.add(Sample(time, points, 10 * points))
    return rate


@pytest.mark.parametrize("samples", [(), ((5.0, 100),), ((5.0, 100), (5.5, 200))])
def test_there_is_no_rate_before_two_samples_some_time_apart(samples: tuple[tuple[float, int], ...]) -> None:
    assert rate_of(*samples).per_second == (None, None)


def test_points_and_bytes_a_second() -> None:
    rate = rate_of((5.0, 100), (7.0, 300))

    assert rate.per_second == (100.0, 1000.0)
    assert rate.seconds == 2.0


def test_points_of_more_than_a_minute_ago_do_not_count() -> None:
    fast_then_slow = [(float(second), 1000 * second) for second in range(31)]
    fast_then_slow += [(float(second), 30_000 + second - 30) for second in range(31, 120)]

    rate = rate_of(*fast_then_slow)

    assert rate.per_second[0] == pytest.approx(1.0)
    assert 59 <= rate.seconds <= 60


def test_a_rate_covers_the_seconds_that_were_asked_for() -> None:
    rate = Rate(over=10.0)
    for second in range(21):
        rate.add(Sample(float(second), 1000 * min(second, 15), 0))

    assert rate.seconds == 10.0
    assert rate.per_second == (500.0, 0.0)


def test_an_idle_start_can_be_left_out() -> None:
    samples = [Sample(0.0, 5, 0), Sample(4.0, 5, 0), Sample(6.0, 25, 0)]
    every_second, from_the_first_points = Rate(), Rate(skips_idle_start=True)
    for sample in samples:
        every_second.add(sample)
        from_the_first_points.add(sample)

    assert every_second.per_second == (20 / 6, 0.0)
    assert from_the_first_points.per_second == (10.0, 0.0)


def test_samples_far_apart_still_give_a_rate() -> None:
    assert rate_of((0.0, 0), (200.0, 1000), (400.0, 4000)).per_second[0] == 15.0


def test_fewer_points_than_before_are_a_new_beginning() -> None:
    rate = rate_of((0.0, 0), (10.0, 5000), (12.0, 0))
    assert rate.per_second == (None, None)

    rate.add(Sample(14.0, 50, 500))

    assert rate.per_second == (25.0, 250.0)


def test_seconds_since_the_last_point_came() -> None:
    assert rate_of((0.0, 7)).seconds_since_progress == 0.0
    assert rate_of((0.0, 7), (90.0, 7), (100.0, 7)).seconds_since_progress == 100.0
    assert rate_of((0.0, 7), (90.0, 8), (100.0, 8)).seconds_since_progress == 10.0


def test_points_count_for_the_worker_that_held_the_chunk_last() -> None:
    rates = WorkerRates()
    first, second, third = (ChunkRecord("m", index, None, None, None, acknowledged=1000) for index in range(3))
    a, b = "host/1/x/y/z", "host/2/x/y/z"

    rates.add(0.0, [replace(first, owner=a, state=State.RUNNING), second, third])
    assert rates.per_second == {}
    rates.add(
        2.0,
        [
            replace(first, acknowledged=1500, state=State.DONE),
            replace(second, acknowledged=1100, owner=b, state=State.RUNNING),
        ],
    )
    assert rates.per_second == {"host/1": 250.0, "host/2": 50.0}
    # Another worker claimed the chunk; the first one sent no more heartbeats.
    rates.add(4.0, [replace(second, acknowledged=1400, owner=a, state=State.RUNNING)])
    assert rates.per_second == {"host/1": 200.0, "host/2": 25.0}
