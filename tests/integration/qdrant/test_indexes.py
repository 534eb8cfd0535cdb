"""Payload indexes are made in the target with the parameters that they have in the source."""

from collections.abc import Iterator

import pytest
from google.protobuf import text_format
from qdrant_client import grpc as api

from qmig.qdrant.payload_indexes import create_index, index_notices, missing_indexes
from qmig.qdrant.server import Server
from tests.support.collections import create, delete, dense_params, info, new_name

INDEXES = {
    "keyword": "keyword_index_params { is_tenant: true on_disk: true }",
    "integer": "integer_index_params { lookup: true range: false is_principal: false on_disk: true }",
    "principal": "integer_index_params { lookup: true range: true is_principal: true }",
    "float": "float_index_params { on_disk: true is_principal: true }",
    "geo": "geo_index_params { on_disk: true }",
    "text": """text_index_params {
        tokenizer: Multilingual lowercase: true min_token_len: 2 max_token_len: 20 on_disk: true
        stopwords { languages: "english" languages: "german" custom: "qdrant" }
        phrase_matching: true stemmer { snowball { language: "english" } } ascii_folding: true
    }""",
    "prefix text": "text_index_params { tokenizer: Prefix lowercase: false }",
    "bool": "bool_index_params { on_disk: true }",
    "datetime": "datetime_index_params { on_disk: true is_principal: true }",
    "uuid": "uuid_index_params { is_tenant: true on_disk: true }",
}
TYPES = {"principal": "integer", "prefix text": "text"}


@pytest.fixture
def collections(server: Server) -> Iterator[tuple[str, str]]:
    """Two collections of the same vectors."""
    names = new_name("source"), new_name("target")
    for name in names:
        create(server, name, dense_params())
    yield names
    for name in names:
        delete(server, name)


def index(kind: str) -> api.PayloadSchemaInfo:
    data_type = api.PayloadSchemaType.Value(TYPES.get(kind, kind).capitalize())
    params = text_format.Parse(INDEXES[kind], api.PayloadIndexParams())
    return api.PayloadSchemaInfo(data_type=data_type, params=params)


@pytest.mark.parametrize("kind", INDEXES)
def test_every_type_of_index_keeps_all_its_parameters(
    server: Server, collections: tuple[str, str], kind: str
) -> None:
    source, target = collections
    wanted = index(kind)
    create_index(server, source, "nested[].field", wanted)
    original = info(server, source)
    reported = original.payload_schema["nested[].field"]
    which = wanted.params.WhichOneof("index_params")
    assert which is not None
    for field, value in getattr(wanted.params, which).ListFields():
        assert getattr(getattr(reported.params, which), field.name) == value, field.name

    for name, schema in missing_indexes(original, info(server, target)).items():
        create_index(server, target, name, schema)
    created = info(server, target)
    assert created.payload_schema == original.payload_schema
    assert missing_indexes(original, created) == {}
    assert index_notices(original, created) == []


@pytest.mark.parametrize("name", [name for name in api.PayloadSchemaType.keys() if name != "UnknownType"])  # noqa: SIM118
def test_an_index_without_parameters_keeps_its_type(server: Server, collections: tuple[str, str], name: str) -> None:
    data_type = api.PayloadSchemaType.Value(name)
    create_index(server, collections[1], "field", api.PayloadSchemaInfo(data_type=data_type))
    create_index(server, collections[1], "field", api.PayloadSchemaInfo(data_type=data_type))
    assert info(server, collections[1]).payload_schema["field"].data_type == data_type


def test_an_index_of_another_type_stays_and_is_noticed(server: Server, collections: tuple[str, str]) -> None:
    source, target = collections
    create_index(server, source, "field", index("keyword"))
    create_index(server, target, "field", api.PayloadSchemaInfo(data_type=api.PayloadSchemaType.Integer))
    infos = [info(server, name) for name in collections]
    assert missing_indexes(*infos) == {}
    (notice,) = index_notices(*infos)
    assert notice.startswith("payload index 'field': keyword (is_tenant: true on_disk: true) in the source, int")
