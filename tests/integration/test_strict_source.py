"""A source in strict mode is read within its limits."""

from qmig.qdrant import messages as api
from tests.support.collections import contents, create, dense_params, fill, simple_points
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


def test_ends_that_cannot_be_counted_exactly_are_counted_by_their_ids(ends: Ends, migrate: Run) -> None:
    strict = api.StrictModeConfig(enabled=True, search_allow_exact=False)
    create(ends.source, ends.source_name, dense_params(), strict_mode_config=strict)
    create(ends.target, ends.target_name, dense_params(), strict_mode_config=strict)
    fill(ends.source, ends.source_name, simple_points(300))

    for said in ("all 300 points are in the target", "all 300 ids of the source are in the target"):
        result = migrate("--chunk-size", "100")

        assert result.returncode == 0, result.stderr
        assert said in result.stdout
    assert contents(ends.target, ends.target_name) == contents(ends.source, ends.source_name)
