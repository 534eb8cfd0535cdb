"""Collections that are named by an alias: resolved once, and recognised afterwards."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from qmig.ledger.records import State
from qmig.qdrant.server import Server
from tests.support.aliases import point_alias
from tests.support.collections import contents, create, delete, dense_params, exists, fill, new_name, point
from tests.support.command import Run
from tests.support.ends import Ends
from tests.support.migrations import (
    LEISURELY,
    arrived,
    fill_source,
    finish,
    own_fleet,
    record_of,
    start,
    state_of,
    until_copied,
)
from tests.support.tcp_proxy import Proxy

POINTS = 3000


@pytest.fixture
def source_points() -> int:
    return POINTS


@contextmanager
def aliased(ends: Ends, role: str) -> Iterator[tuple[Ends, Callable[[], None]]]:
    """The ends with one of them named by an alias, and a function that moves it to another, empty collection."""
    server, name = (ends.source, ends.source_name) if role == "source" else (ends.target, ends.target_name)
    alias, other = new_name("alias"), new_name("other")
    create(server, other, dense_params())
    if role == "target":
        create(server, name, dense_params())
    point_alias(server, alias, name)
    try:
        named = replace(ends, source_name=alias) if role == "source" else replace(ends, target_name=alias)
        yield named, lambda: point_alias(server, alias, other)
        assert contents(server, other) == {}
    finally:
        delete(server, other)


both_ends = pytest.mark.parametrize("role", ["source", "target"])


@both_ends
def test_an_alias_that_moves_in_mid_run_changes_nothing(filled: Ends, role: str) -> None:
    with aliased(filled, role) as (named, move), own_fleet() as (redis, _):
        running = start(named, *LEISURELY, broker=redis.url)
        until_copied(named, 500)
        move()
        finish(running)

        record = record_of(named)

    assert arrived(filled)
    assert record is not None
    assert (record.definition.source.collection, record.definition.target.collection) == (
        filled.source_name,
        filled.target_name,
    )
    assert record.title == f"{named.source_name} → {named.target_name}"


@both_ends
def test_a_resume_by_an_alias_that_has_moved_is_refused_until_it_is_back(
    filled: Ends, role: str, fleet: str, qmig: Run
) -> None:
    with aliased(filled, role) as (named, move):
        side = filled.source if role == "source" else filled.target
        arguments = [*named.arguments, "-c", "--chunk-size", "1500"]
        finish(start(named, "-c", "--chunk-size", "1500", broker=fleet))
        move()

        refused = qmig("qdrant", *arguments, broker=fleet)

        assert refused.returncode == 1
        own, alias = (
            (filled.source_name, named.source_name) if role == "source" else (filled.target_name, named.target_name)
        )
        assert f"the {role} {alias!r} is the collection 'other-" in refused.stderr
        assert f"begun with {own!r}; point the alias there again, or begin again with --restart-mig" in refused.stderr
        assert len(refused.stderr.strip().splitlines()) == 1
        point_alias(side, alias, own)
        again = qmig("qdrant", *arguments, broker=fleet)
        assert again.returncode == 0, again.stderr


def test_a_migration_that_was_named_by_an_alias_is_found_by_it_and_verified_where_it_was_copied(
    filled: Ends, qmig: Run, fleet: str
) -> None:
    with aliased(filled, "source") as (named, move):
        done = qmig("qdrant", *named.arguments, "-c", broker=fleet)
        assert done.returncode == 0, done.stderr
        move()
        where = [*named.where, "--source-collection", named.source_name]

        verified = qmig("verify", *where, broker=fleet)

    assert verified.returncode == 0, verified.stderr
    assert f"{POINTS:,} points compared: all of them equal" in verified.stdout


@pytest.fixture
def proxied(source_server: Server) -> Iterator[str]:
    """The source's server under another port."""
    with Proxy(source_server.endpoint.port) as proxy:
        yield proxy.url


ADDRESSES = {
    "the same name": lambda url, _: url,
    "another name": lambda url, _: url.replace("127.0.0.1", "localhost"),
    "another port": lambda _, proxied: proxied,
}


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize("role", ["source", "target", "both"])
def test_a_source_that_is_the_target_under_another_name_is_refused(
    ends: Ends, qmig: Run, proxied: str, role: str, address: str
) -> None:
    fill_source(ends, 10)
    server, url, alias = ends.source, ends.source.endpoint.url, new_name("alias")
    point_alias(server, alias, ends.source_name)
    source, target = {
        "source": (alias, ends.source_name),
        "target": (ends.source_name, alias),
        "both": (ends.source_name, ends.source_name),
    }[role]
    before = contents(server, ends.source_name)

    result = qmig(
        "qdrant", "--source-url", url, "--source-collection", source, "--target-collection", target,
        "--target-url", ADDRESSES[address](url, proxied), "--migration-offsets-collection-name", ends.ledger, "-c",
    )  # fmt: skip

    assert result.returncode == 2
    assert f"source and target collections must be different: both are {ends.source_name!r}" in result.stderr
    assert (f"which the alias {alias!r} names" in result.stderr) == (role != "both")
    assert len(result.stderr.strip().splitlines()) == 1
    assert contents(server, ends.source_name) == before
    assert not exists(server, ends.ledger)


def test_collections_of_one_name_on_two_servers_are_two(filled: Ends, qmig: Run, fleet: str) -> None:
    same = replace(filled, target_name=filled.source_name)
    if filled.source.endpoint == filled.target.endpoint:
        pytest.skip("source and target are one server")
    try:
        done = qmig("qdrant", *same.arguments, "-c", broker=fleet)
        again = qmig("qdrant", *same.arguments, "-c", broker=fleet)

        assert (done.returncode, again.returncode) == (0, 0), done.stderr + again.stderr
        assert arrived(same)
    finally:
        delete(same.target, same.target_name)


def test_a_ledger_that_is_an_alias_is_refused_and_gets_no_record(filled: Ends, migrate: Run) -> None:
    users = new_name("users")
    create(filled.target, users)
    fill(filled.target, users, [point(number, payload={"number": number}) for number in range(5)])
    point_alias(filled.target, filled.ledger, users)
    before = contents(filled.target, users)
    try:
        result = migrate("-c")

        assert result.returncode == 1
        assert f"the ledger {filled.ledger!r} at " in result.stderr
        assert f"is an alias of the collection {users!r}; give another --migration-offsets" in result.stderr
        assert contents(filled.target, users) == before
        assert not exists(filled.target, filled.target_name)
    finally:
        delete(filled.target, users)


def test_a_target_that_is_an_alias_of_the_ledger_is_refused(
    filled: Ends, migrate: Run, qmig: Run, fleet: str
) -> None:
    assert migrate("-c").returncode == 0
    alias = new_name("alias")
    point_alias(filled.target, alias, filled.ledger)
    before = contents(filled.target, filled.ledger)

    result = qmig("qdrant", *replace(filled, target_name=alias).arguments, "-c", broker=fleet)

    assert result.returncode == 2
    assert f"the ledger {filled.ledger!r} cannot be the collection that is copied, which the alias" in result.stderr
    assert contents(filled.target, filled.ledger) == before
    assert state_of(filled) == State.DONE
