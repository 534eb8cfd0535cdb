"""The options of `qmig milvus`: the source that they describe, in qmig's and in qdrant/migration's spelling."""

import re
from collections.abc import Sequence

import pytest

from qmig.cli.source_command import source_command
from qmig.errors import UsageError
from qmig.migration import Endpoint, SourceSpec
from qmig.sources.milvus import options
from qmig.sources.registry import KINDS

ENDS = [
    "--source-url", "http://a:19530", "--source-collection", "products",
    "--target-url", "http://b:6334", "--target-collection", "products",
]  # fmt: skip
OURS = [
    *ENDS, "--source-database", "shop", "--source-partition", "north", "--source-partition", "south",
    "--distance", "v=Dot", "--distance", "w=cosine", "--skip-field", "b", "--skip-field", "a", "--id-field", "key",
    "--partition-field", "region",
]  # fmt: skip
THEIRS = [
    *ENDS, "--milvus.db-name", "shop", "--milvus.partitions", "north, south",
    "--qdrant.distance-metric", "v=dot;w=cosine", "--skip-field", "a", "--skip-field", "b", "--id-field", "key",
    "--partition-field", "region",
]  # fmt: skip


def described(arguments: Sequence[str], tls: bool = False) -> SourceSpec:
    """The source that the command's arguments describe, at an endpoint that has its URL's scheme."""
    given = source_command(KINDS["milvus"]).make_context("milvus", list(arguments)).params
    return options.with_options(SourceSpec("milvus", Endpoint("a", 19530, tls), "products"), given)


@pytest.mark.parametrize("arguments", [OURS, THEIRS], ids=["qmig", "qdrant/migration"])
def test_both_spellings_of_the_options_describe_the_same_source(arguments: Sequence[str]) -> None:
    settings = {
        "skip_fields": ["a", "b"],
        "distances": {"v": "dot", "w": "cosine"},
        "id_field": "key",
        "partition_field": "region",
        "guarantee_timestamp": None,
    }
    expected = SourceSpec("milvus", Endpoint("a", 19530), "products", "shop", ("north", "south"), settings)
    assert described(arguments) == expected


@pytest.mark.parametrize(
    ("arguments", "tls", "expected"),
    [
        (ENDS, False, False),
        (ENDS, True, True),
        ([*ENDS, "--milvus.enable-tls-auth"], False, True),
        ([*ENDS, "--milvus.enable-tls-auth=false"], False, False),
        ([*ENDS, "--milvus.enable-tls-auth=false"], True, True),
    ],
)
def test_tls_is_what_the_url_or_the_option_asks_for(arguments: Sequence[str], tls: bool, expected: bool) -> None:
    assert described(arguments, tls).endpoint == Endpoint("a", 19530, expected)


@pytest.mark.parametrize("name", ["größe", "shop\n"])
def test_a_database_that_no_header_can_carry_is_refused_with_its_name(name: str) -> None:
    with pytest.raises(UsageError, match=re.escape(f"--source-database {name!r}: ")):
        described([*ENDS, "--source-database", name])


@pytest.mark.parametrize("distance", ["v", "v=far", "=dot", "v=dot;v=cosine"])
def test_a_distance_that_cannot_be_used_is_refused_with_its_text(distance: str) -> None:
    with pytest.raises(UsageError, match=f"--distance {distance.rpartition(';')[2]}: "):
        described([*ENDS, "--distance", distance])
