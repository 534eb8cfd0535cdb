"""Custom sharding: a point keeps its shard key, and an id under several shard keys is copied under each."""

import json
from collections.abc import Callable

import pytest
from qdrant_client import grpc as api

from qmig.qdrant.shard_keys import ShardKeyPlacement, shard_keys
from tests.support.collections import (
    contents,
    count,
    create,
    create_shard_key,
    dense,
    dense_params,
    exists,
    fill,
    info,
    point,
)
from tests.support.command import Run
from tests.support.ends import Ends
from tests.support.migrations import fill_source

pytestmark = pytest.mark.usefixtures("custom_sharding")

# Shard keys as text, and the first of 300 ids under each; "empty" has none.
STARTS = {'"berlin"': 0, '"ünï/côde key"': 0, "7": 150, "18446744073709551615": 0}
EMPTY = '"empty"'


def under(shard_key: str, count: int, start: int) -> list[api.PointStruct]:
    """Points that tell which shard key they are under."""
    return [
        point(
            key, dense([float(key), 1.0, 2.0, len(shard_key)]), {"part": shard_key, "number": key, "tenant": key % 3}
        )
        for key in range(start, start + count)
    ]


def create_sharded(ends: Ends, starts: dict[str, int], points: int = 300, empty: bool = True) -> None:
    create(ends.source, ends.source_name, dense_params(), sharding_method=api.Custom, shard_number=1)
    for shard_key, start in starts.items():
        create_shard_key(ends.source, ends.source_name, shard_key)
        fill(ends.source, ends.source_name, under(shard_key, points, start), shard_key)
    if empty:
        create_shard_key(ends.source, ends.source_name, EMPTY)


def keys_of(ends: Ends) -> list[ShardKeyPlacement]:
    return shard_keys(ends.target, ends.target_name)


def test_equal_ids_under_several_keys_all_arrive(ends: Ends, migrate: Run) -> None:
    create_sharded(ends, STARTS)

    result = migrate("-c", "--chunk-size", "120")

    assert result.returncode == 0, result.stderr
    assert "all 1,200 points are in the target" in result.stdout
    assert keys_of(ends) == shard_keys(ends.source, ends.source_name)
    assert count(ends.target, ends.target_name) == 1200
    for shard_key in STARTS:
        there = contents(ends.source, ends.source_name, shard_key)
        assert len(there) == 300
        assert contents(ends.target, ends.target_name, shard_key) == there
    assert contents(ends.target, ends.target_name, EMPTY) == {}


def test_every_key_is_there_before_the_first_point(ends: Ends, plan_only: Callable[..., None]) -> None:
    create(ends.source, ends.source_name, dense_params(), sharding_method=api.Custom, shard_number=2)
    for shard_key in ('"a"', "5", EMPTY):
        create_shard_key(ends.source, ends.source_name, shard_key)
    fill(ends.source, ends.source_name, under("5", 10, 0), "5")

    plan_only("-c")

    assert [placement.key for placement in keys_of(ends)] == [5, "a", "empty"]
    assert keys_of(ends) == shard_keys(ends.source, ends.source_name)
    assert {placement.shards_number for placement in keys_of(ends)} == {2}
    assert count(ends.target, ends.target_name) == 0


def test_a_target_with_keys_of_its_own_keeps_them_and_gets_the_sources(ends: Ends, migrate: Run) -> None:
    create_sharded(ends, {'"a"': 0, "7": 0}, points=100)
    create(ends.target, ends.target_name, dense_params(), sharding_method=api.Custom)
    for shard_key in ('"a"', '"own"'):
        create_shard_key(ends.target, ends.target_name, shard_key)
    fill(ends.target, ends.target_name, under("before", 50, 1000), '"a"')
    fill(ends.target, ends.target_name, under("before", 20, 0), '"own"')
    own = contents(ends.target, ends.target_name, '"own"')
    before = contents(ends.target, ends.target_name, '"a"')

    result = migrate()

    assert result.returncode == 0, result.stderr
    assert contents(ends.target, ends.target_name, '"own"') == own
    assert contents(ends.target, ends.target_name, "7") == contents(ends.source, ends.source_name, "7")
    expected = {**before, **contents(ends.source, ends.source_name, '"a"')}
    assert contents(ends.target, ends.target_name, '"a"') == expected
    assert [placement.key for placement in keys_of(ends)] == [7, "a", "empty", "own"]


def create_custom_target(ends: Ends, *shard_keys: str) -> None:
    create(ends.target, ends.target_name, dense_params(), sharding_method=api.Custom)
    for shard_key in shard_keys:
        create_shard_key(ends.target, ends.target_name, shard_key)


@pytest.mark.parametrize("is_there", [True, False], ids=["key is there", "key is made"])
def test_target_shard_key_takes_every_point(ends: Ends, migrate: Run, is_there: bool) -> None:
    fill_source(ends, 300)
    create_custom_target(ends, '"other"', *(['"mine"'] if is_there else []))

    result = migrate("--target-shard-key", "mine", "--chunk-size", "100")

    assert result.returncode == 0, result.stderr
    arrived = contents(ends.target, ends.target_name, '"mine"')
    assert len(arrived) == 300
    assert arrived == contents(ends.source, ends.source_name)
    assert contents(ends.target, ends.target_name, '"other"') == {}


def test_target_shard_key_joins_the_keys_of_a_source_without_repeats(ends: Ends, migrate: Run) -> None:
    create_sharded(ends, {'"a"': 0, '"b"': 100}, points=100)

    result = migrate("-c", "--target-shard-key", "all")

    assert result.returncode == 0, result.stderr
    assert [placement.key for placement in keys_of(ends)] == ["all"]
    arrived = contents(ends.target, ends.target_name, '"all"')
    assert len(arrived) == 200
    assert arrived == contents(ends.source, ends.source_name)


def test_target_shard_key_refuses_repeats_with_their_count(ends: Ends, migrate: Run) -> None:
    create_sharded(ends, {'"a"': 0, '"b"': 60}, points=100)

    result = migrate("-c", "--target-shard-key", "all")

    assert result.returncode == 1
    assert "40 points of the source have an id that occurs under another shard key too" in result.stderr
    assert not exists(ends.target, ends.target_name)
    assert not exists(ends.target, ends.ledger)


def arrived_under(ends: Ends, *keys: int) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for key in keys:
        found |= contents(ends.target, ends.target_name, str(key))
    return found


@pytest.mark.parametrize(("field", "keys"), [("tenant", [0, 1, 2]), ("name", ["even", "odd"])])
def test_target_shard_key_field_sends_a_point_where_its_payload_says(
    ends: Ends, migrate: Run, field: str, keys: list[int | str]
) -> None:
    create(ends.source, ends.source_name, dense_params())
    points = under("", 300, 0)
    for one in points:
        one.payload["name"].string_value = "odd" if one.id.num % 2 else "even"
    fill(ends.source, ends.source_name, points)
    create_custom_target(ends)

    result = migrate("--target-shard-key-field", field, "--chunk-size", "100")

    assert result.returncode == 0, result.stderr
    there = contents(ends.source, ends.source_name)
    assert [placement.key for placement in keys_of(ends)] == keys
    arrived: dict[str, bytes] = {}
    for key in keys:
        text = f'"{key}"' if isinstance(key, str) else str(key)
        found = contents(ends.target, ends.target_name, text)
        values = {
            getattr(api.RetrievedPoint.FromString(data).payload[field], data_field)
            for data in found.values()
            for data_field in ["string_value" if isinstance(key, str) else "integer_value"]
        }
        assert values == {key}
        arrived.update(found)
    assert len(arrived) == 300
    assert arrived == there


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        ({}, "is missing"),
        ({"tenant": 1.5}, "holds double_value: 1.5"),
        ({"tenant": ""}, "holds string_value: "),
        ({"tenant": -1}, "holds integer_value: -1"),
        ({"tenant": ["a"]}, "holds list_value"),
        ({"tenant": None}, "holds null_value"),
    ],
    ids=["missing", "double", "empty", "negative", "list", "null"],
)
def test_a_point_without_a_shard_key_in_its_payload_is_named(
    ends: Ends, migrate: Run, payload: dict[str, object], said: str
) -> None:
    create(ends.source, ends.source_name, dense_params())
    fill(ends.source, ends.source_name, [*under("", 3, 0), point(4711, dense([0, 0, 0, 1]), payload)])
    create_custom_target(ends)

    result = migrate("--target-shard-key-field", "tenant")

    assert result.returncode == 1
    [line] = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert f"point 4711 cannot be copied: its payload field 'tenant' {said}" in line
    assert "--target-shard-key-field needs a non-empty string or a non-negative integer" in line
    assert "Traceback" not in result.stderr


def test_points_without_a_shard_key_in_the_payload_are_skipped_and_copied_once_they_have_one(
    ends: Ends, migrate: Run, qmig: Run, fleet: str
) -> None:
    create(ends.source, ends.source_name, dense_params())
    homeless = {10: {}, 20: {"tenant": 1.5}, 21: {"tenant": ""}}
    fill(ends.source, ends.source_name, under("", 100, 0))
    fill(ends.source, ends.source_name, [point(key, dense([0, 0, 0, 1]), said) for key, said in homeless.items()])
    create_custom_target(ends)
    routed = ["--target-shard-key-field", "tenant", "--chunk-size", "40"]

    result = migrate(*routed, "--on-error", "skip")

    assert result.returncode == 3, result.stderr
    listed = qmig("rejects", *ends.where, "--json").stdout.splitlines()
    rejects = {one["point"]: one["reason"] for one in map(json.loads, listed)}
    assert rejects.keys() == {"10", "20", "21"}
    assert rejects["10"].startswith("its payload field 'tenant' is missing; --target-shard-key-field needs ")
    there = contents(ends.source, ends.source_name)
    assert arrived_under(ends, 0, 1, 2) == {key: data for key, data in there.items() if key not in rejects}
    verified = qmig("verify", *ends.where, broker=fleet)
    assert "rejected 3: 10, 20, 21\n" in verified.stdout

    fill(ends.source, ends.source_name, [one for one in under("", 100, 0) if one.id.num in homeless])
    result = migrate(*routed, "--on-error", "skip", "--retry-rejects")

    assert result.returncode == 0, result.stderr
    assert arrived_under(ends, 0, 1, 2) == contents(ends.source, ends.source_name)
    assert qmig("verify", *ends.where, broker=fleet).returncode == 0


def test_a_source_without_repeats_goes_into_an_automatically_sharded_target(ends: Ends, migrate: Run) -> None:
    create_sharded(ends, {'"a"': 0, "7": 100}, points=100)
    create(ends.target, ends.target_name, dense_params())

    result = migrate()

    assert result.returncode == 0, result.stderr
    arrived = contents(ends.target, ends.target_name)
    assert len(arrived) == 200
    assert arrived == contents(ends.source, ends.source_name)


def test_repeats_are_refused_by_a_target_that_cannot_hold_them(ends: Ends, migrate: Run) -> None:
    create_sharded(ends, {'"a"': 0, '"b"': 0, "7": 50}, points=100)
    create(ends.target, ends.target_name, dense_params())

    result = migrate()

    assert result.returncode == 1
    [line] = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert "150 points of the source have an id that occurs under another shard key too" in line
    assert contents(ends.target, ends.target_name) == {}
    assert not exists(ends.target, ends.ledger)


def test_a_source_without_shard_keys_needs_to_be_told_where_to_go(ends: Ends, migrate: Run) -> None:
    fill_source(ends, 10)
    create_custom_target(ends, '"a"')

    result = migrate()

    assert result.returncode == 2
    assert "--target-shard-key or --target-shard-key-field" in result.stderr
    assert contents(ends.target, ends.target_name, '"a"') == {}
    assert not exists(ends.target, ends.ledger)


@pytest.mark.parametrize("option", ["--target-shard-key", "--target-shard-key-field"])
def test_routing_into_a_target_without_shard_keys_is_refused(ends: Ends, migrate: Run, option: str) -> None:
    create(ends.source, ends.source_name, dense_params())

    result = migrate("-c", option, "part")

    assert result.returncode == 2
    assert "has no shard keys" in result.stderr
    assert not exists(ends.target, ends.target_name)
    assert not exists(ends.target, ends.ledger)


def test_a_target_is_created_with_shards_and_method_of_the_source(ends: Ends, migrate: Run) -> None:
    create_sharded(ends, {'"a"': 0}, points=10)

    result = migrate("-c")

    assert result.returncode == 0, result.stderr
    assert info(ends.target, ends.target_name).config.params == info(ends.source, ends.source_name).config.params


def test_repeats_that_a_payload_field_sends_to_one_shard_key_are_counted(ends: Ends, migrate: Run) -> None:
    create_sharded(ends, {'"a"': 0, '"b"': 0}, points=30, empty=False)

    result = migrate("-c", "--target-shard-key-field", "tenant")

    assert result.returncode == 3
    assert "30 of 60 points are in the target, 30 are not" in result.stdout
    assert "30 points that were replaced by a point with the same id from another partition" in result.stderr
