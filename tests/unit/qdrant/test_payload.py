"""Payloads of qmig's own records come back as they were."""

from qmig.qdrant.payload import from_payload, to_payload


def test_every_json_value_comes_back_with_its_type() -> None:
    payload = {
        "null": None,
        "bool": True,
        "smallest": -(2**63),
        "largest": 2**63 - 1,
        "whole": 1.0,
        "text": "ünï",
        "list": [1, 1.5, None, [], {}],
        "object": {"": {"deep": [False]}},
    }
    back = from_payload(to_payload(payload))
    assert back == payload
    assert {key: type(value) for key, value in back.items()} == {key: type(value) for key, value in payload.items()}


def test_an_integer_beyond_64_bits_becomes_a_double() -> None:
    assert from_payload(to_payload({"large": 2**63})) == {"large": float(2**63)}
