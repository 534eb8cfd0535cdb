"""The size of a batch follows the size of the points, and no part of a batch exceeds the server's limit."""

import random

import pytest

from qmig.jobs.batch_size import FIRST_BATCH_POINTS, MAX_BATCH_POINTS, BatchSize
from qmig.migration import MAX_BATCH_BYTES, Options
from qmig.qdrant.batch import Batch


def batch(count: int, size: int) -> Batch:
    return Batch([bytes(size)] * count, None)


def learned(options: Options, size_of_point: int, batches: int = 12) -> BatchSize:
    """A batch size after this number of batches of points of one size."""
    size = BatchSize(options)
    for _ in range(batches):
        size.learn(batch(size.limit, size_of_point))
    return size


def test_the_first_batch_is_small() -> None:
    assert BatchSize(Options()).limit == FIRST_BATCH_POINTS == 50


@pytest.mark.parametrize("size_of_point", [100, 700, 3000, 50_000])
def test_a_batch_comes_to_the_wanted_bytes(size_of_point: int) -> None:
    size = learned(Options(batch_bytes=512 * 1024), size_of_point)
    assert 0.8 * 512 * 1024 <= size.limit * size_of_point <= 512 * 1024


def test_it_grows_step_by_step_and_shrinks_at_once() -> None:
    size = BatchSize(Options(batch_bytes=1_000_000))
    limits = []
    for _ in range(4):
        size.learn(batch(size.limit, 100))
        limits.append(size.limit)
    assert limits == [200, 800, 3200, 10_000]
    size.learn(batch(size.limit, 100_000))
    assert size.limit == 10


def test_it_never_falls_below_one_point_or_rises_beyond_a_scroll() -> None:
    assert learned(Options(batch_bytes=10), 1_000_000).limit == 1
    assert learned(Options(batch_bytes=MAX_BATCH_BYTES), 1).limit == MAX_BATCH_POINTS


def test_an_empty_batch_teaches_nothing() -> None:
    size = BatchSize(Options())
    size.learn(Batch([], None))
    assert size.limit == FIRST_BATCH_POINTS


@pytest.mark.parametrize("points", [1, 7, 20_000])
def test_a_fixed_size_stays(points: int) -> None:
    assert learned(Options(batch_size=points), 5000, batches=3).limit == points


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("options", [Options(batch_bytes=1000), Options(batch_bytes=1), Options(batch_size=300)])
def test_portions_hold_every_point_in_order(seed: int, options: Options) -> None:
    numbers = random.Random(seed)
    points = [numbers.randbytes(numbers.choice([1, 10, 100, 999, 1001, 5000])) for _ in range(200)]

    portions = list(BatchSize(options).split(points))

    assert [point for portion in portions for point in portion] == points
    assert all(portions)
    if options.batch_size is None:
        for portion in portions:
            assert len(portion) == 1 or sum(map(len, portion)) <= options.batch_bytes


def test_a_batch_that_fits_is_one_portion() -> None:
    points = [bytes(10)] * 150
    assert list(BatchSize(Options(batch_bytes=1000)).split(points)) == [points]


def test_a_point_larger_than_a_batch_goes_alone() -> None:
    small, large = bytes(100), bytes(5000)
    portions = list(BatchSize(Options(batch_bytes=1000)).split([small, small, large, small]))
    assert portions == [[small, small], [large], [small]]


def test_a_fixed_batch_is_cut_where_it_would_be_too_large_for_one_request() -> None:
    megabytes = bytes(10 * 1024 * 1024)
    assert [len(p) for p in BatchSize(Options(batch_size=5)).split([megabytes] * 3)] == [3]
    cut = [len(p) for p in BatchSize(Options(batch_size=5)).split([megabytes] * 5)]
    assert sum(cut) == 5
    assert max(cut) <= 3


@pytest.mark.parametrize("options", [Options(), Options(batch_size=500)])
def test_a_limit_on_the_points_of_an_upsert_is_kept_to(options: Options) -> None:
    size = BatchSize(options)
    size.cap_points(30)
    for _ in range(5):
        size.learn(batch(size.limit, 10))
    assert size.limit == 30
    # A batch that was read before the limit was known.
    assert [len(portion) for portion in size.split([b"point"] * 100)] == [30, 30, 30, 10]


@pytest.mark.parametrize("options", [Options(), Options(batch_size=500)])
def test_a_limit_on_the_bytes_of_an_upsert_is_kept_to(options: Options) -> None:
    size = BatchSize(options)
    size.cap_bytes(10_000)
    points = [b"x" * 1000] * 25 + [b"y" * 20_000] + [b"x" * 1000]
    assert [len(portion) for portion in size.split(points)] == [10, 10, 5, 1, 1]
