"""A source in strict mode is read within its limits, or refused before anything is written."""

from qmig.qdrant import messages as api
from tests.support.collections import contents, create, dense_params, exists, fill, simple_points
from tests.support.command import Run
from tests.support.ends import Ends


def test_a_limit_on_queries_is_kept(ends: Ends, migrate: Run) -> None:
    strict = api.StrictModeConfig(enabled=True, max_query_limit=10)
    create(ends.source, ends.source_name, dense_params(), strict_mode_config=strict)
    fill(ends.source, ends.source_name, simple_points(300))

    result = migrate("-c", "--chunk-size", "100", "-b", "50")

    assert result.returncode == 0, result.stderr
    request = api.UpdateCollection(
        collection_name=ends.source_name, strict_mode_config=api.StrictModeConfig(enabled=False)
    )
    for server, name in ((ends.source, ends.source_name), (ends.target, ends.target_name)):
        request.collection_name = name
        server.call(server.collections.Update, request)
    assert contents(ends.target, ends.target_name) == contents(ends.source, ends.source_name)


def test_a_source_that_cannot_be_counted_is_refused_before_anything_is_written(ends: Ends, migrate: Run) -> None:
    strict = api.StrictModeConfig(enabled=True, search_allow_exact=False)
    create(ends.source, ends.source_name, dense_params(), strict_mode_config=strict)

    result = migrate("-c")

    assert result.returncode == 1
    assert "search_allow_exact" in result.stderr
    assert not exists(ends.target, ends.target_name)
    assert not exists(ends.target, ends.ledger)
