"""Types that the source's server knows and the installed client does not are found before anything is written."""

from collections.abc import Iterator

import pytest
from qdrant_client import grpc as api

from tests.support.collections import contents, create, dense_params, exists, fill, simple_points
from tests.support.command import Run
from tests.support.ends import Ends
from tests.support.grpc_proxy import GrpcProxy

INFO = "/qdrant.Collections/Get"


@pytest.fixture
def proxy(ends: Ends) -> Iterator[GrpcProxy]:
    """A source with an index of a type that this client has no name for."""
    create(ends.source, ends.source_name, dense_params())
    fill(ends.source, ends.source_name, simple_points(10))

    def of_the_future(path: str, answer: bytes) -> bytes:
        if path != INFO:
            return answer
        response = api.GetCollectionInfoResponse.FromString(answer)
        response.result.payload_schema["number"].data_type = 99
        return response.SerializeToString()

    with GrpcProxy(ends.source.endpoint) as proxy:
        proxy.alter = of_the_future
        yield proxy


@pytest.mark.parametrize("arguments", [["-c"], ["-c", "--dry-run"]])
def test_an_index_of_an_unknown_type_is_refused_before_anything_is_written(
    ends: Ends, migrate: Run, proxy: GrpcProxy, arguments: list[str]
) -> None:
    result = migrate(*arguments, source=proxy.url)

    assert result.returncode == 1
    assert "payload field 'number' has an index (type 99) that this version of qdrant-client" in result.stderr
    assert "Traceback" not in result.stderr
    assert not exists(ends.target, ends.target_name)
    assert not exists(ends.target, ends.ledger)


def test_an_existing_target_without_that_index_is_filled(ends: Ends, migrate: Run, proxy: GrpcProxy) -> None:
    create(ends.target, ends.target_name, dense_params())

    result = migrate(source=proxy.url)

    assert result.returncode == 0, result.stderr
    assert contents(ends.target, ends.target_name) == contents(ends.source, ends.source_name)
