"""What arrives equals what was there: every kind of vector, id and payload."""

from qdrant_client import grpc as api

from tests.conftest import Ends, Run
from tests.contents import contents, create, dense_params, fill, simple_points


def test_a_collection_arrives_as_it_is(ends: Ends, migrate: Run) -> None:
    create(ends.source, ends.source_name, dense_params())
    fill(ends.source, ends.source_name, simple_points(3000))

    result = migrate("-c", "--chunk-size", "700")

    assert result.returncode == 0, result.stderr
    assert "all 3,000 points are in the target" in result.stdout
    assert contents(ends.target, ends.target_name) == contents(ends.source, ends.source_name)
