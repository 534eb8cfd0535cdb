"""Verification compares contents and not just counts: missing, different and extra points are named."""

from concurrent.futures import ThreadPoolExecutor
from itertools import count
from threading import Event

import pytest

from qmig.jobs.sampling import is_sampled
from qmig.qdrant import messages as api
from tests.support.collections import (
    contents,
    create,
    create_shard_key,
    delete_points,
    dense,
    dense_params,
    dense_vector,
    fill,
    named,
    named_params,
    point,
    simple_points,
    sparse_vector,
)
from tests.support.command import Run
from tests.support.ends import Ends
from tests.support.grpc_proxy import GrpcProxy
from tests.support.migrations import record_of
from tests.support.uncopyable_points import BAD, MEBIBYTE, fill_with, large
from tests.support.verification import IN_CHUNKS, POINTS, found, overwrite, with_payload


@pytest.mark.usefixtures("migrated")
def test_equal_contents_end_in_status_0(verify: Run) -> None:
    result = verify()
    assert result.returncode == 0, result.stderr
    assert f"{POINTS:,} points compared: all of them equal" in result.stdout
    assert "missing" not in result.stdout
    assert "extra" not in result.stdout


def test_a_missing_point_is_named_with_status_4(migrated: Ends, verify: Run) -> None:
    delete_points(migrated.target, migrated.target_name, 7, 1200)
    result = verify()
    assert result.returncode == 4
    assert "missing 2: 7, 1200" in result.stdout
    assert "the source has no more points in these chunks than were copied" in result.stdout
    assert "Error: the target differs from the source: 2 missing" in result.stderr


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        (with_payload(9, number=9.0), "9: payload 'number': 9 ≠ 9.0"),
        (with_payload(9, title=...), "9: payload 'title': 'point 9' is missing in the target"),
        (with_payload(9, more=None), "9: payload 'more': null is in the target only"),
        (point(9, dense([9, 9.125, 9.25, 9.376]), {"title": "point 9", "number": 9, "even": False}), "≠ 9.376"),
    ],
)
def test_a_point_that_differs_is_named_with_what_differs(
    migrated: Ends, verify: Run, changed: api.PointStruct, what: str
) -> None:
    overwrite(migrated, changed)
    result = verify()
    assert result.returncode == 4
    assert "different 1: 9\n" in result.stdout
    assert what in result.stdout


def test_null_is_not_an_absent_key(ends: Ends, migrate: Run, verify: Run) -> None:
    create(ends.source, ends.source_name, dense_params())
    fill(ends.source, ends.source_name, [point(1, dense([1, 2, 3, 4]), {"nothing": None, "a": {"b": None}})])
    assert migrate("-c").returncode == 0
    assert verify().returncode == 0

    overwrite(ends, point(1, dense([1, 2, 3, 4]), {"a": {"b": None}}))
    assert "payload 'nothing': null is missing in the target" in verify().stdout
    overwrite(ends, point(1, dense([1, 2, 3, 4]), {"nothing": None, "a": {}}))
    assert "payload 'a'.b: null is missing in the target" in verify().stdout


def test_vectors_are_compared_as_the_target_stores_them(ends: Ends, migrate: Run, verify: Run) -> None:
    vectors = named_params(
        cosine=api.VectorParams(size=3, distance=api.Cosine),
        half=api.VectorParams(size=3, distance=api.Dot, datatype=api.Float16),
        byte=api.VectorParams(size=3, distance=api.Euclid, datatype=api.Uint8),
    )
    sparse = api.SparseVectorConfig(map={"sparse": api.SparseVectorParams()})
    create(ends.source, ends.source_name, vectors, sparse_vectors_config=sparse)
    one = named(
        cosine=dense_vector(3, 4, 5),
        half=dense_vector(0.1, 0.2, 1000.3),
        byte=dense_vector(1, 200, 255),
        sparse=sparse_vector({9: 0.5, 3: 0.25}),
    )
    fill(ends.source, ends.source_name, [point(1, one), point(2, named())])
    assert migrate("-c").returncode == 0
    result = verify()
    assert result.returncode == 0, result.stdout

    # The same direction, and the same once it is rounded.
    one.vectors.vectors["cosine"].dense.data[:] = [6, 8, 10]
    one.vectors.vectors["half"].dense.data[2] = 1000.4
    overwrite(ends, point(1, one))
    assert verify().returncode == 0

    one.vectors.vectors["cosine"].dense.data[:] = [6, 8, 10.01]
    overwrite(ends, point(1, one))
    result = verify()
    assert result.returncode == 4
    assert "1: vector 'cosine': direction differs by 0.0" in result.stdout


def test_extra_points_are_found_with_the_option(migrated: Ends, verify: Run) -> None:
    fill(migrated.target, migrated.target_name, simple_points(30, start=5000))
    assert verify().returncode == 0

    result = verify("--extra")

    assert result.returncode == 4
    shown = ", ".join(str(5000 + place) for place in range(20))
    assert f"extra 30: {shown} and 10 more" in result.stdout
    assert "missing" not in result.stdout
    delete_points(migrated.target, migrated.target_name, *range(5000, 5030))
    result = verify("--extra")
    assert result.returncode == 0
    assert "all of them equal, and no point extra" in result.stdout


def test_a_sample_has_the_same_fair_share_of_points_each_time(migrated: Ends, verify: Run) -> None:
    delete_points(migrated.target, migrated.target_name, *range(POINTS))
    chosen = {str(key) for key in range(POINTS) if is_sampled(str(key), 0.1)}
    assert 100 < len(chosen) < 200
    for _ in range(2):
        result = verify("--sample", "10%", "--json")
        assert result.returncode == 4
        report = found(result)
        assert report["compared"] == report["missing"]["count"] == len(chosen)
        assert set(report["missing"]["ids"]) < chosen
    repaired = verify("--sample", "10%", "--repair")
    assert repaired.returncode == 0
    assert contents(migrated.target, migrated.target_name).keys() == chosen


@pytest.mark.parametrize("sample", ["1", "0%", "101%", "%", "x%"])
def test_a_share_that_is_none_is_refused(verify: Run, sample: str) -> None:
    result = verify("--sample", sample)
    assert result.returncode == 2
    assert "is not a percentage" in result.stderr


def test_what_json_says(migrated: Ends, verify: Run) -> None:
    delete_points(migrated.target, migrated.target_name, 7)
    overwrite(migrated, with_payload(9, number=9.0))
    report = found(verify("--json"))
    record = record_of(migrated)
    assert record is not None
    assert report.pop("seconds") > 0
    assert report == {
        "migration": record.migration,
        "verification": record.definition.verification_id,
        "equal": False,
        "compared": POINTS,
        "share": 1.0,
        "missing": {"count": 1, "ids": ["7"], "may_be_new": 0, "more_in_source": 0},
        "different": {"count": 1, "ids": ["9"], "first": "9: payload 'number': 9 ≠ 9.0"},
        "extra": None,
        "rejected": {"count": 0, "ids": []},
        "repaired": 0,
        "refused": None,
        "changing": 0,
        "deleted": 0,
    }


def test_points_that_are_new_in_the_source_are_told_from_lost_ones(migrated: Ends, verify: Run) -> None:
    fill(migrated.source, migrated.source_name, simple_points(15, start=5000))
    delete_points(migrated.target, migrated.target_name, 3)
    result = verify()
    assert result.returncode == 4
    assert "missing 16: 3, 5000, " in result.stdout
    assert (
        "the source has 15 more points in these chunks than were copied: up to 15 of the missing points may be new"
        in result.stdout
    )
    assert verify("--repair").returncode == 0
    assert contents(migrated.target, migrated.target_name) == contents(migrated.source, migrated.source_name)


def test_a_point_that_was_deleted_from_the_source_is_extra_and_not_missing(migrated: Ends, verify: Run) -> None:
    delete_points(migrated.source, migrated.source_name, 3)
    assert verify().returncode == 0
    result = verify("--extra")
    assert result.returncode == 4
    assert "extra 1: 3\n" in result.stdout


def test_a_point_that_is_being_written_to_is_counted_as_such(migrated: Ends, verify: Run) -> None:
    ended = Event()

    def write() -> None:
        for number in count():
            fill(migrated.source, migrated.source_name, [with_payload(9, number=number)])
            if ended.is_set():
                return

    with ThreadPoolExecutor(1) as writer:
        writing = writer.submit(write)
        result = verify("--json")
        ended.set()
        writing.result()
    assert result.returncode == 4
    report = found(result)
    assert (report["different"]["count"], report["changing"], report["missing"]["count"]) == (1, 1, 0)
    # Repaired once the point is no longer written to.
    assert verify("--repair").returncode == 0
    assert contents(migrated.target, migrated.target_name) == contents(migrated.source, migrated.source_name)


def test_points_that_could_not_be_copied_are_told_apart(
    ends: Ends, migrate: Run, qmig: Run, fleet: str, verify: Run
) -> None:
    fill_with(ends, large)
    with GrpcProxy(ends.target.endpoint, max_message=MEBIBYTE) as proxy:
        assert migrate(*IN_CHUNKS, "--on-error", "skip", target=proxy.url).returncode == 3

        result = verify("--json")
        assert result.returncode == 3, result.stdout
        report = found(result)
        assert report["rejected"] == {"count": len(BAD), "ids": list(map(str, BAD))}
        assert report["missing"]["count"] == 0
        assert report["equal"] is False
        assert "4 points could not be copied and are missing, everything else is equal" in result.stderr

        # Another point is missing, and cannot be copied either.
        assert migrate("--retry-rejects").returncode == 0
        assert verify().returncode == 0
        delete_points(ends.target, ends.target_name, 3, 4)
        where = ["--target-url", proxy.url, "--migration-offsets-collection-name", ends.ledger]
        result = qmig("verify", *where, "--repair", broker=fleet)
    assert result.returncode == 4
    assert "missing 2: 3, 4" in result.stdout
    assert "not repaired: 3: target " in result.stdout
    assert "larger than max" in result.stdout
    assert "2 missing, 1 repaired" in result.stderr


@pytest.mark.usefixtures("custom_sharding")
def test_every_shard_key_is_compared_by_itself(ends: Ends, migrate: Run, verify: Run) -> None:
    create(ends.source, ends.source_name, dense_params(), sharding_method=api.Custom)
    for shard_key, number in (('"eu"', 100), ("7", 50), ('"empty"', 0)):
        create_shard_key(ends.source, ends.source_name, shard_key)
        fill(ends.source, ends.source_name, [with_payload(key, part=shard_key) for key in range(number)], shard_key)
    assert migrate("-c").returncode == 0
    assert verify("--extra").returncode == 0

    delete_points(ends.target, ends.target_name, 3, shard_key="7")
    fill(ends.target, ends.target_name, simple_points(1, start=60), "7")
    result = verify("--extra")
    assert result.returncode == 4
    assert "missing 1: 3\n" in result.stdout
    assert "extra 1: 60\n" in result.stdout
    assert verify("--repair").returncode == 0
    assert contents(ends.target, ends.target_name, "7").keys() == {*map(str, range(50)), "60"}
    assert contents(ends.target, ends.target_name, '"eu"') == contents(ends.source, ends.source_name, '"eu"')


@pytest.mark.usefixtures("custom_sharding")
def test_points_under_a_shard_key_that_the_source_has_not_are_extra(ends: Ends, migrate: Run, verify: Run) -> None:
    create(ends.source, ends.source_name, dense_params(), sharding_method=api.Custom)
    create_shard_key(ends.source, ends.source_name, '"a"')
    fill(ends.source, ends.source_name, simple_points(20), '"a"')
    assert migrate("-c").returncode == 0
    create_shard_key(ends.target, ends.target_name, '"theirs"')
    fill(ends.target, ends.target_name, simple_points(2), '"theirs"')

    result = verify("--extra")

    assert result.returncode == 4, result.stderr
    assert "extra 2: 0, 1\n" in result.stdout


@pytest.mark.usefixtures("custom_sharding")
@pytest.mark.parametrize("routing", [["--target-shard-key", "all"], ["--target-shard-key-field", "title"]])
def test_points_that_were_routed_are_found_where_they_went(
    ends: Ends, migrate: Run, verify: Run, routing: list[str]
) -> None:
    create(ends.source, ends.source_name, dense_params())
    fill(ends.source, ends.source_name, [with_payload(key, title=f"shard {key % 3}") for key in range(60)])
    create(ends.target, ends.target_name, dense_params(), sharding_method=api.Custom)
    assert migrate(*routing).returncode == 0
    assert verify("--extra").returncode == 0

    # Under a shard key that the target does not have yet.
    fill(ends.source, ends.source_name, [with_payload(100, title="shard 9")])
    assert "missing 1: 100\n" in verify().stdout
    assert verify("--repair").returncode == 0
    assert verify("--extra").returncode == 0
