"""What does not come along is told in one line each, and index parameters may be any text."""

from typing import Any

import pytest

from qmig.errors import TerminalError
from qmig.sources.milvus.mapping import map_collection
from qmig.sources.milvus.messages import milvus
from qmig.sources.milvus.schema import TYPES, Collection, Field, Index, collection_of, whole_number
from qmig.sources.milvus.settings import Settings

KEY = Field("pk", TYPES.Int64, is_key=True)


def notices(*fields: Field, **settings: Any) -> list[str]:
    return map_collection(Collection("mine", (KEY, *fields), **settings), Settings()).notices


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"properties": {"collection.ttl.seconds": "1800"}}, "collection.ttl.seconds=1800"),
        ({"properties": {"ttl_field": "expires"}}, "ttl_field=expires"),
        ({"properties": {"collection.replica.number": "3"}}, "collection.replica.number=3"),
        ({"properties": {"timezone": "Asia/Tokyo"}}, "timezone=Asia/Tokyo"),
        ({"properties": {"some.other": "1"}}, "some.other=1"),
        ({"consistency": "Strong"}, "Strong"),
        ({"shards": 4}, "4 shards"),
        ({"aliases": ("live", "old")}, "live, old"),
        ({"description": "my rows"}, "description"),
    ],
    ids=str,
)
def test_a_setting_without_a_counterpart_is_one_line(settings: dict[str, Any], line: str) -> None:
    (told,) = notices(**settings)
    assert line in told
    assert "\n" not in told


@pytest.mark.parametrize(
    ("field", "line"),
    [
        (Field("day", TYPES.Int64, has_default=True), "default value"),
        (Field("day", TYPES.Int64, is_clustering_key=True), "clustering key"),
        (Field("day", TYPES.Int64, auto_id=True), "auto_id"),
        (Field("day", TYPES.Int64, description="of the week"), "descriptions"),
        (Field("day", TYPES.VarChar, params={"enable_analyzer": "true", "max_length": "9"}), "enable_analyzer"),
        (Field("day", TYPES.VarChar, params={"some": "thing"}), "some=thing"),
        (Field("day", TYPES.Double), "last bit"),
        (Field("day", TYPES.Array, TYPES.Float), "last bit"),
    ],
    ids=str,
)
def test_a_field_s_setting_without_a_counterpart_is_one_line(field: Field, line: str) -> None:
    (told,) = notices(field)
    assert line in told
    assert "'day'" in told


def test_a_collection_of_defaults_has_no_notice() -> None:
    defaults = {"collection.ttl.seconds": "-1", "collection.replica.number": "1", "mmap.enabled": "false"}
    assert notices(Field("day", TYPES.Int64), consistency="Bounded", properties=defaults) == []


def test_the_server_s_description_has_it_all() -> None:
    described = milvus.DescribeCollectionResponse(
        collection_name="mine", consistency_level=0, shards_num=2, aliases=["live"]
    )
    described.schema.description = "my rows"
    described.schema.fields.add(name="pk", data_type=TYPES.Int64, is_primary_key=True, autoID=True)
    day = described.schema.fields.add(name="day", data_type=TYPES.Int64, is_clustering_key=True, description="a day")
    day.default_value.long_data = 1
    described.schema.functions.add(name="bm25", type=1, output_field_names=["s"])
    described.properties.add(key="collection.ttl.seconds", value="60")
    told = map_collection(collection_of(described, {}), Settings()).notices
    assert len(told) == 10
    for word in ("TTL", "Strong", "2 shards", "live", "description of the", "'day'", "auto_id", "default", "'bm25'"):
        assert any(word in line for line in told), word


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("16", 16),
        ("16.0", 16),
        ("AUTO", None),
        ("", None),
        ("1.5", None),
        ("-1", None),
        ("1e400", None),
        ("nan", None),
    ],
)
def test_a_parameter_may_be_any_text(text: str, number: int | None) -> None:
    assert whole_number(text) == number


@pytest.mark.parametrize("text", ["AUTO", "16.0", "-1", "", "0", "1e999", "2"])
def test_index_parameters_of_any_text_are_set_or_told(text: str) -> None:
    for kind in ("HNSW", "HNSW_PQ", "IVF_PQ", "DISKANN"):
        params = {"M": text, "efConstruction": text, "m": text, "nbits": text}
        field = Field("v", TYPES.FloatVector, params={"dim": "8"}, indexes=(Index(kind, "L2", params),))
        mapping = map_collection(Collection("mine", (KEY, field)), Settings())
        config = mapping.info.config.params.vectors_config.params_map.map["v"].hnsw_config
        for theirs, ours in (("M", "m"), ("efConstruction", "ef_construct")):
            is_told = any(f"{theirs}={text}" in notice for notice in mapping.notices)
            assert config.HasField(ours) != is_told


def test_a_vector_with_more_dimensions_than_qdrant_has_is_told_before() -> None:
    field = Field("bits", TYPES.BinaryVector, params={"dim": "65544"}, indexes=(Index("BIN_FLAT", "HAMMING"),))
    with pytest.raises(TerminalError, match=r"65,544 dimensions.*--skip-field bits"):
        map_collection(Collection("mine", (KEY, field)), Settings())
