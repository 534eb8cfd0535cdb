"""Point ids and shard keys sort in the servers' order, and survive the ledger's text."""

import random
import uuid
from itertools import pairwise

import pytest
from qdrant_client import grpc as api

from qmig.errors import UsageError
from qmig.qdrant.keys import PointKey, shard_key_of, shard_key_option, shard_key_selector, shard_key_text

IN_SCROLL_ORDER = [
    "0",
    "1",
    "9",
    "10",
    str(2**63 - 1),
    str(2**63),
    str(2**64 - 1),
    str(uuid.UUID(int=0)),
    str(uuid.UUID(int=1)),
    "00000000-0000-0000-ffff-ffffffffffff",
    "0fffffff-ffff-ffff-ffff-ffffffffffff",
    "10000000-0000-0000-0000-000000000000",
    "a0000000-0000-0000-0000-000000000000",
    str(uuid.UUID(int=2**128 - 1)),
]


def test_numbers_come_first_then_uuids_by_their_bytes() -> None:
    keys = [PointKey(text) for text in IN_SCROLL_ORDER]
    mixed = random.Random(0).sample(keys, len(keys))
    assert [key.text for key in sorted(mixed)] == IN_SCROLL_ORDER
    assert all(one < other for one, other in pairwise(keys))


@pytest.mark.parametrize("text", IN_SCROLL_ORDER)
def test_a_key_is_the_same_after_message_wire_and_text(text: str) -> None:
    key = PointKey(text)
    message = key.to_message()
    assert PointKey.of(message) == key
    assert PointKey.of(api.PointId.FromString(message.SerializeToString())) == key
    assert PointKey(PointKey.of(message).text) == key
    assert hash(PointKey.of(message)) == hash(key)
    assert message.WhichOneof("point_id_options") == ("num" if text.isdigit() else "uuid")


@pytest.mark.parametrize("text", ["", "-1", "1.5", str(2**64), "abc", "½", "²", "١٢"])
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        PointKey(text)


def test_spellings_of_one_uuid_are_one_key() -> None:
    one = "a1b2c3d4-0000-4000-8000-00000000abcd"
    assert PointKey(one) == PointKey(one.upper()) == PointKey(f"urn:uuid:{one}")
    assert len({PointKey(one), PointKey(one.upper())}) == 1


def test_a_key_is_no_text() -> None:
    assert PointKey("7") != "7"


SHARD_KEYS = [
    (api.ShardKey(keyword="eu"), '"eu"'),
    (api.ShardKey(keyword="7"), '"7"'),
    (api.ShardKey(keyword=""), '""'),
    (api.ShardKey(keyword='größe "\\'), '"größe \\"\\\\"'),
    (api.ShardKey(number=7), "7"),
    (api.ShardKey(number=0), "0"),
    (api.ShardKey(number=2**64 - 1), str(2**64 - 1)),
]


@pytest.mark.parametrize(("key", "text"), SHARD_KEYS)
def test_a_shard_keys_text_tells_strings_from_numbers(key: api.ShardKey, text: str) -> None:
    assert shard_key_text(key) == text
    assert shard_key_of(text) == key
    assert shard_key_selector(text) == api.ShardKeySelector(shard_keys=[key])


def test_no_shard_key_is_none_all_the_way() -> None:
    assert shard_key_text(None) is None
    assert shard_key_of(None) is None
    assert shard_key_selector(None) is None


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ("eu", '"eu"'),
        ("7", "7"),
        ("0", "0"),
        (str(2**64 - 1), str(2**64 - 1)),
        ('"7"', '"7"'),
        ("007", '"007"'),
        ("-1", '"-1"'),
        ("7.5", '"7.5"'),
        ("ünï/côde", '"ünï/côde"'),
        ('"say \\"so\\""', '"say \\"so\\""'),
    ],
)
def test_an_option_names_a_number_by_its_digits_and_text_by_anything_else(given: str, text: str) -> None:
    assert shard_key_option(given, "--target-shard-key") == text


@pytest.mark.parametrize("given", ["", '""', '"eu', '"a" b', str(2**64)])
def test_an_option_that_names_no_shard_key_is_refused_with_its_value(given: str) -> None:
    with pytest.raises(UsageError) as refused:
        shard_key_option(given, "--target-shard-key")
    assert str(refused.value).startswith("--target-shard-key")
    assert given.strip('"') in str(refused.value)


def test_no_option_is_no_shard_key() -> None:
    assert shard_key_option(None, "--target-shard-key") is None
