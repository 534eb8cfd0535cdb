"""The mapping of keys, and of fields that no test server has."""

import uuid
from typing import Any

import pytest
from qdrant_client import grpc as api
from qdrant_client.conversions.conversion import grpc_to_payload

from qmig.errors import TerminalError, UsageError
from qmig.sources.milvus.conversion import Converter
from qmig.sources.milvus.keys import NAMESPACE, Int64Keys, VarCharKeys, hashed, literal
from qmig.sources.milvus.mapping import map_collection
from qmig.sources.milvus.messages import RawQueryResults, milvus, schema
from qmig.sources.milvus.schema import TYPES, Collection, Field, Index, collection_of
from qmig.sources.milvus.settings import Settings

KEY = Field("pk", TYPES.Int64, is_key=True)


def collection(*fields: Field, **others: Any) -> Collection:
    return Collection("mine", (KEY, *fields), **others)


def test_int8_vectors_and_arrays_of_structs_as_pymilvus_describes_them() -> None:
    described = milvus.DescribeCollectionResponse(collection_name="mine")
    described.schema.fields.add(name="pk", data_type=TYPES.Int64, is_primary_key=True)
    small = described.schema.fields.add(name="small", data_type=TYPES.Int8Vector)
    small.type_params.add(key="dim", value="3")
    clips = described.schema.struct_array_fields.add(name="clips")
    clips.fields.add(name="clips[title]", data_type=TYPES.Array, element_type=TYPES.VarChar)
    part = clips.fields.add(name="clips[part]", data_type=TYPES.ArrayOfVector, element_type=TYPES.FloatVector)
    part.type_params.add(key="dim", value="2")
    indexes = {"small": (Index("HNSW", "COSINE"),), "clips[part]": (Index("HNSW", "MAX_SIM_IP"),)}
    mapping = map_collection(collection_of(described, indexes), Settings())
    vectors = mapping.info.config.params.vectors_config.params_map.map
    assert (vectors["small"].size, vectors["small"].distance) == (3, api.Cosine)
    multi = vectors["clips[part]"]
    assert (multi.size, multi.distance, multi.multivector_config.comparator) == (2, api.Dot, api.MaxSim)

    answer = milvus.QueryResults()
    keys = answer.fields_data.add(type=TYPES.Int64, field_name="pk")
    keys.scalars.long_data.data.extend([1, 2])
    bytes_ = answer.fields_data.add(type=TYPES.Int8Vector, field_name="small")
    bytes_.vectors.dim = 3
    bytes_.vectors.int8_vector = bytes([0x80, 0xFF, 0x7F, 1, 2, 3])
    struct = answer.fields_data.add(type=TYPES.ArrayOfStruct, field_name="clips")
    titles = struct.struct_arrays.fields.add(type=TYPES.Array, field_name="title")
    titles.scalars.array_data.element_type = TYPES.VarChar
    titles.scalars.array_data.data.append(schema.ScalarField(string_data=schema.StringArray(data=["a", "b"])))
    titles.scalars.array_data.data.append(schema.ScalarField(string_data=schema.StringArray()))
    parts = struct.struct_arrays.fields.add(type=TYPES.ArrayOfVector, field_name="part")
    for data in ([1.0, 2.0, 3.0, 4.0], []):
        parts.vectors.vector_array.data.append(schema.VectorField(dim=2, float_vector=schema.FloatArray(data=data)))
    _, points = Converter(mapping).points(RawQueryResults.FromString(answer.SerializeToString()), None)
    first, second = map(api.PointStruct.FromString, points)
    assert grpc_to_payload(first.payload) == {"pk": 1, "clips": [{"title": "a"}, {"title": "b"}]}
    assert grpc_to_payload(second.payload) == {"pk": 2, "clips": []}
    assert list(first.vectors.vectors.vectors["small"].dense.data) == [-128, -1, 127]
    multi_dense = first.vectors.vectors.vectors["clips[part]"].multi_dense
    assert [list(vector.data) for vector in multi_dense.vectors] == [[1, 2], [3, 4]]
    assert "clips[part]" not in second.vectors.vectors.vectors


@pytest.mark.parametrize("valid", [[True, False, True], [False, True, True], [False, False, False]])
@pytest.mark.parametrize("aligned", [True, False])
def test_a_null_vector_is_left_out(valid: list[bool], aligned: bool) -> None:
    """Newer servers leave its place out of the column; others may fill it."""
    vector = Field("v", TYPES.FloatVector, params={"dim": "1"}, nullable=True, indexes=(Index("FLAT", "L2"),))
    mapping = map_collection(collection(vector), Settings())
    answer = milvus.QueryResults()
    answer.fields_data.add(type=TYPES.Int64, field_name="pk").scalars.long_data.data.extend([1, 2, 3])
    column = answer.fields_data.add(type=TYPES.FloatVector, field_name="v", valid_data=valid)
    column.vectors.float_vector.data.extend(float(row) for row, is_valid in enumerate(valid) if is_valid or aligned)
    _, points = Converter(mapping).points(RawQueryResults.FromString(answer.SerializeToString()), None)
    found = [api.PointStruct.FromString(point).vectors.vectors.vectors for point in points]
    assert [list(one["v"].dense.data) if "v" in one else None for one in found] == [
        [float(row)] if is_valid else None for row, is_valid in enumerate(valid)
    ]


def test_a_type_that_has_no_counterpart_is_named_with_its_field() -> None:
    with pytest.raises(TerminalError, match=r"'price' is of type Decimal.*--skip-field price"):
        map_collection(collection(Field("price", TYPES.Decimal)), Settings())
    mapping = map_collection(collection(Field("price", TYPES.Decimal)), Settings(skip_fields=("price",)))
    assert mapping.output_fields == ["pk"]


def test_all_that_is_wrong_is_said_at_once() -> None:
    fields = Field("a", TYPES.Decimal), Field("b", TYPES.BinaryVector, indexes=(Index("BIN_FLAT", "JACCARD"),))
    with pytest.raises(TerminalError, match=r"'a'.*'b'.*JACCARD"):
        map_collection(collection(*fields), Settings())


def test_names_that_meet_in_the_payload_are_refused() -> None:
    with pytest.raises(UsageError, match="'text'"):
        map_collection(collection(Field("text", TYPES.VarChar)), Settings(id_field="text"))


def test_the_settings_of_indexes_come_along() -> None:
    def vector(name: str, index: Index) -> Field:
        return Field(name, TYPES.FloatVector, params={"dim": "128"}, indexes=(index,))

    mapping = map_collection(
        collection(
            vector("sq", Index("HNSW_SQ", "IP", {"M": "30", "efConstruction": "360", "sq_type": "SQ8"})),
            vector("pq", Index("HNSW_PQ", "L2", {"M": "16", "m": "32", "nbits": "8"})),
            vector("bq", Index("IVF_RABITQ", "L2", {"nlist": "128"})),
            vector("disk", Index("DISKANN", "L2")),
            vector("mapped", Index("HNSW", "L2", {"mmap.enabled": "true"})),
        ),
        Settings(),
    )
    vectors = mapping.info.config.params.vectors_config.params_map.map
    assert (vectors["sq"].hnsw_config.m, vectors["sq"].hnsw_config.ef_construct) == (30, 360)
    assert vectors["sq"].quantization_config.HasField("scalar")
    assert vectors["pq"].quantization_config.product.compression == api.x16
    assert vectors["bq"].quantization_config.HasField("binary")
    assert vectors["disk"].on_disk
    assert vectors["mapped"].on_disk
    assert any("nlist=128" in notice for notice in mapping.notices)


def test_indexes_on_json_paths_are_payload_indexes() -> None:
    index = Index("INVERTED", params={"json_path": 'meta["a"]["b"]', "json_cast_type": "varchar"})
    mapping = map_collection(collection(Field("meta", TYPES.JSON, indexes=(index,))), Settings())
    assert mapping.info.payload_schema["meta.a.b"].data_type == api.PayloadSchemaType.Keyword


@pytest.mark.parametrize("name", ["", "a", "-1", "世界", "x" * 1000])
def test_hashed_keys_are_uuid5(name: str) -> None:
    assert hashed(name.encode()) == str(uuid.uuid5(NAMESPACE, name))


def test_conditions() -> None:
    numbers, texts = Int64Keys("pk"), VarCharKeys("pk")
    assert numbers.one_of([1, -2]) == "pk in [1, -2]"
    assert numbers.one_of([1, -(2**63)]) == "pk in [1] or pk < -9223372036854775807"
    assert numbers.one_of([-(2**63)]) == "pk < -9223372036854775807"
    assert texts.one_of([b"a", b'b"']) == 'pk in ["a", "b\\""]'
    assert numbers.condition(None, None) == "pk <= 9223372036854775807"
    # The least integer has no literal.
    assert numbers.condition(-(2**63), 5) == "pk < 5"
    assert numbers.condition(-5, None) == "pk >= -5"
    assert texts.condition(None, None) == 'pk >= ""'
    assert texts.condition(b"a", b"b") == 'pk >= "a" and pk < "b"'
    assert literal(b'"\\\n\r\t') == '"\\"\\\\\\n\\r\t"'
