"""The options of `qmig milvus` become the source of a migration."""

import pytest

from qmig.errors import UsageError
from qmig.migration import Endpoint, SourceSpec
from qmig.sources.milvus.options import OPTIONS, with_options

SOURCE = SourceSpec("milvus", Endpoint("a", 19530), "products")
NONE_GIVEN = {
    "database": "",
    "partitions": (),
    "tls": False,
    "distances": (),
    "skip_fields": (),
    "id_field": None,
    "partition_field": None,
}
DEFAULT_SETTINGS = {
    "skip_fields": [],
    "distances": {},
    "id_field": None,
    "partition_field": None,
    "guarantee_timestamp": None,
}


def test_a_source_without_options_is_left_as_it_is() -> None:
    assert set(NONE_GIVEN) == {option.name for option in OPTIONS}
    assert with_options(SOURCE, NONE_GIVEN) == SourceSpec(
        "milvus", Endpoint("a", 19530), "products", settings=DEFAULT_SETTINGS
    )


def test_every_option_is_in_the_source() -> None:
    given = {
        "database": "shop",
        "partitions": ("north, south", "west"),
        "tls": True,
        "distances": ("v=COSINE;w=dot", "v=cosine"),
        "skip_fields": ("b", "a", "b"),
        "id_field": "key",
        "partition_field": "region",
    }
    assert with_options(SOURCE, given) == SourceSpec(
        "milvus",
        Endpoint("a", 19530, tls=True),
        "products",
        "shop",
        ("north", "south", "west"),
        {
            "skip_fields": ["a", "b"],
            "distances": {"v": "cosine", "w": "dot"},
            "id_field": "key",
            "partition_field": "region",
            "guarantee_timestamp": None,
        },
    )


@pytest.mark.parametrize("distance", ["v", "=cosine", "v=far", "v=dot;v=cosine"])
def test_a_wrong_distance_is_refused_with_its_value(distance: str) -> None:
    with pytest.raises(UsageError) as refused:
        with_options(SOURCE, {**NONE_GIVEN, "distances": (distance,)})
    assert str(refused.value).startswith("--distance v" if distance.startswith("v") else "--distance =cosine")
