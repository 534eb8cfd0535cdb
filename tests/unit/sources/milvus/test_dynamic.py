"""Dynamic keys, and fields that the schema got after rows with such keys were inserted."""

import shlex
from typing import Any

from qdrant_client import grpc as api

from qmig.qdrant.batch import InvalidRow
from qmig.qdrant.payload import from_payload
from qmig.sources.milvus.conversion import Converter
from qmig.sources.milvus.mapping import map_collection
from qmig.sources.milvus.schema import DYNAMIC, TYPES, Collection, Field
from qmig.sources.milvus.settings import Settings
from tests.support.milvus.answers import answer

KEY = Field("pk", TYPES.Int64, is_key=True)
META = Field(DYNAMIC, TYPES.JSON, is_dynamic=True)


def convert(
    field: Field, cells: list[Any], valid: list[bool], documents: list[bytes], **settings: Any
) -> list[dict[str, Any] | str]:
    """The payload of each row, or why it is a reject."""
    converter = Converter(map_collection(Collection("mine", (KEY, field, META)), Settings(**settings)))
    keys = list(range(len(documents)))
    columns = [(field, cells), (META, documents)]
    _, points = converter.points(answer(keys, columns, {field.name: valid}), "_default")
    return [
        point.reason if isinstance(point, InvalidRow) else from_payload(api.PointStruct.FromString(point).payload)
        for point in points
    ]


def options(reason: str) -> list[str]:
    """A reason's words as a shell reads them, from its first option on."""
    return shlex.split(reason[reason.index("--skip-field") :])


def test_where_a_later_field_is_null_the_dynamic_value_is_its_value() -> None:
    age = Field("age", TYPES.Int64, nullable=True)
    found = convert(age, [9], [False, True, False], [b'{"age": 5}', b'{"other": 1}', b'{"age": null}'])
    assert found == [{"pk": 0, "age": 5}, {"pk": 1, "age": 9, "other": 1}, {"pk": 2, "age": None}]


def test_both_present_is_a_reject_that_names_the_options() -> None:
    age = Field("the age", TYPES.Int64, nullable=True)
    refused, copied = convert(age, [9, 9], [True, True], [b'{"the age": 5}', b"{}"])
    assert copied == {"pk": 1, "the age": 9}
    assert isinstance(refused, str)
    assert "'0'" in refused
    assert "'the age'" in refused
    assert options(refused) == ["--skip-field", "the age", "or", "--skip-field", "$meta"]


def test_a_skipped_field_leaves_its_key_to_the_dynamic_value() -> None:
    age = Field("age", TYPES.Int64, nullable=True)
    assert convert(age, [9], [True], [b'{"age": 5}'], skip_fields=("age",)) == [{"pk": 0, "age": 5}]


def test_a_dynamic_key_like_that_of_the_primary_key_or_of_the_partition() -> None:
    age = Field("age", TYPES.Int64)
    (of_key,) = convert(age, [9], [True], [b'{"id": 5}'], id_field="id")
    (of_partition,) = convert(age, [9], [True], [b'{"part": null}'], partition_field="part")
    assert isinstance(of_key, str)
    assert isinstance(of_partition, str)
    assert "--id-field" in of_key
    assert "--partition-field" in of_partition
    assert convert(age, [9], [True], [b'{"pk": 5}'], id_field="id") == [{"pk": 5, "id": 0, "age": 9}]


def test_names_in_advice_can_be_pasted_into_a_shell() -> None:
    for name in ("my field", "it's", "$HOME", "-x", "--all", 'a"b', "a;b|c"):
        field = Field(name, TYPES.Double)
        (reason,) = convert(field, [float("nan")], [True], [b"{}"])
        assert isinstance(reason, str)
        words = options(reason)
        assert words == (["--skip-field", name] if not name.startswith("-") else [f"--skip-field={name}"])
