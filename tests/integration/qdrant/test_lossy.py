"""Integers that a target gets as doubles are told before anything is written, and by a verification."""

import pytest

from qmig.errors import QmigError
from qmig.qdrant import messages as api
from qmig.qdrant.encoding import INTEGER, list_value, payload_entry
from qmig.qdrant.passthrough import upsert_request
from tests.support.collections import create, dense, dense_params, exists, fill, point, simple_points
from tests.support.command import Run
from tests.support.ends import Ends

BIG = 2.0**63


def fill_source(ends: Ends) -> None:
    """Make a source one of whose points shows an integer as gRPC shows it."""
    create(ends.source, ends.source_name, dense_params())
    points = [*simple_points(40), point(1000, dense([1, 2, 3, 4]), {"views": [BIG, 1]})]
    fill(ends.source, ends.source_name, points)


def test_big_integers_are_told_before_the_copy_and_by_verify(ends: Ends, qmig: Run) -> None:
    fill_source(ends)
    dry = qmig("qdrant", *ends.arguments, "-c", "--dry-run")
    assert dry.returncode == 0, dry.stderr
    (line,) = [line for line in dry.stderr.splitlines() if "2^63" in line]
    assert "'views'" in line
    assert "as text" in line
    assert "snapshot" in line
    assert not exists(ends.target, ends.target_name)

    done = qmig("qdrant", *ends.arguments, "-c", "--verify")
    assert done.returncode == 0, done.stderr
    told = [line for line in done.stderr.splitlines() if "'views'" in line]
    assert len(told) == 2
    assert "cannot tell" in told[1]


def test_a_source_without_such_numbers_has_no_such_notice(ends: Ends, qmig: Run) -> None:
    create(ends.source, ends.source_name, dense_params())
    fill(ends.source, ends.source_name, [*simple_points(40), point(99, dense([1, 2, 3, 4]), {"n": 2**63 - 1})])
    done = qmig("qdrant", *ends.arguments, "-c", "--verify")
    assert done.returncode == 0, done.stderr
    assert "2^63" not in done.stderr


def write_deep(ends: Ends, number: int, levels: int) -> None:
    """Write a point with nested lists as bytes: Python's messages cannot be that deep."""
    value = INTEGER + b"\x01"
    for _ in range(levels):
        value = list_value([value])
    raw = point(number, dense([1, 2, 3, 4]), {}).SerializeToString() + payload_entry("deep", value)
    header = api.UpsertPoints(collection_name=ends.source_name, wait=True).SerializeToString()
    try:
        ends.source.call(ends.source.raw_method("/qdrant.Points/Upsert"), upsert_request(header, [raw]), retry_for=0)
    except QmigError as error:
        pytest.skip(f"this server cannot have such a point: {error}")


def test_a_point_that_no_server_survives_is_a_reject(ends: Ends, qmig: Run) -> None:
    create(ends.source, ends.source_name, dense_params())
    fill(ends.source, ends.source_name, simple_points(5))
    write_deep(ends, 7, 123)
    write_deep(ends, 8, 122)
    failed = qmig("qdrant", *ends.arguments, "-c")
    assert failed.returncode == 1
    assert "point 7 " in failed.stderr
    assert "'deep' is nested 123 deep" in failed.stderr
    done = qmig("qdrant", *ends.arguments, "-c", "--on-error", "skip", "--verify")
    assert done.returncode == 3, done.stderr
    assert "7 points compared: 1 rejected" in done.stdout


def test_more_replicas_than_peers_are_told_before_the_target_is_created(ends: Ends, qmig: Run) -> None:
    create(ends.source, ends.source_name, dense_params(), replication_factor=9)
    dry = qmig("qdrant", *ends.arguments, "-c", "--dry-run")
    assert dry.returncode == 0, dry.stderr
    assert [line for line in dry.stderr.splitlines() if "replication_factor 9" in line]
    assert not exists(ends.target, ends.target_name)
