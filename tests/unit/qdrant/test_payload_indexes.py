"""Index types come from the installed client's enums; a type that these lack is named and refused."""

import importlib
from types import SimpleNamespace

import pytest
from qdrant_client import grpc as api

from qmig.errors import TerminalError
from qmig.qdrant import messages, payload_indexes
from qmig.qdrant.payload_indexes import check_index_types, field_type, index_type_name

UNKNOWN = 99


@pytest.mark.parametrize("name", [name for name in api.PayloadSchemaType.keys() if name != "UnknownType"])  # noqa: SIM118
def test_every_type_of_the_client_can_be_created(name: str) -> None:
    number = api.PayloadSchemaType.Value(name)

    assert field_type(number) == api.FieldType.Value(f"FieldType{name}")
    assert index_type_name(number) == name.lower()
    check_index_types({"field": api.PayloadSchemaInfo(data_type=number)})


def test_a_type_that_the_client_does_not_know_is_named_by_its_number_and_refused() -> None:
    assert field_type(UNKNOWN) is None
    assert index_type_name(UNKNOWN) == "type 99"
    with pytest.raises(TerminalError, match=r"payload field 'new' has an index \(type 99\) that .* upgrade"):
        check_index_types({"new": api.PayloadSchemaInfo(data_type=UNKNOWN)})


def test_a_type_without_a_twin_among_the_requests_fails_no_import(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client may read a type from a collection before it can ask for one."""

    def value(name: str) -> int:
        raise ValueError(f"Enum FieldType has no value defined for name {name!r}")

    fewer = SimpleNamespace(Value=value, items=lambda: [("FieldTypeKeyword", 0)])
    with monkeypatch.context() as patched:
        patched.setattr(messages, "FieldType", fewer)
        reloaded = importlib.reload(payload_indexes)
        assert reloaded.field_type(api.PayloadSchemaType.Keyword) == 0
        with pytest.raises(TerminalError, match=r"payload field 'n' has an index \(integer\)"):
            reloaded.check_index_types({"n": api.PayloadSchemaInfo(data_type=api.PayloadSchemaType.Integer)})
    importlib.reload(payload_indexes)
