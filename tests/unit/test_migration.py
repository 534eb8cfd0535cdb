"""A migration's fingerprint identifies both ends and nothing else; an endpoint is parsed from its URL."""

import io

import msgspec
import pytest
from msgspec.structs import replace
from rich.console import Console

from qmig.errors import UsageError
from qmig.ledger.records import PLAN, chunk_id
from qmig.ledger.rejects import RejectRecord
from qmig.migration import (
    Credentials,
    Endpoint,
    Migration,
    OnError,
    Options,
    Routing,
    SourceSpec,
    TargetSpec,
    UrlForm,
    redacted,
)
from qmig.qdrant.payload import from_payload, to_payload

MIGRATION = Migration(
    SourceSpec("qdrant", Endpoint("source.example", 6334), "products"),
    TargetSpec(Endpoint("target.example", 6334), "copy"),
)


MILVUS = Migration(
    SourceSpec("milvus", Endpoint("::1", 19530), "größe", "shop", ("b", "a"), {"skip_fields": []}),
    TargetSpec(Endpoint("target.example", 6334), "copy"),
)


@pytest.mark.parametrize(
    ("migration", "fingerprint", "verification", "plan", "chunk", "reject"),
    [
        (
            MIGRATION,
            "91b7bac4-6509-5d7a-a3af-cf1d4163fe23",
            "797cd9c7-ec1f-5682-bcb9-1ad16fe9b485",
            "0413ad30-51cd-5f6f-b607-e92b14b17924",
            "e1064ee6-1325-54f2-a88a-9e7e57e9d317",
            "09891d42-21ea-5bb1-a019-4553cf8f9b57",
        ),
        (
            MILVUS,
            "3b74dfa6-c01b-53df-b399-00ad0c3302f9",
            "842be87e-fc0c-55fa-a0da-b709bee0a702",
            "b177e7f1-ad89-5776-b10c-ebe6fde3a59a",
            "d4908814-8d99-59d5-ad5a-c9fc5169ed2a",
            "cd6f7c78-c0c0-594c-8f8d-c1ec754eb819",
        ),
    ],
    ids=["qdrant", "milvus"],
)
def test_the_ids_of_records_are_the_same_for_ever(
    migration: Migration, fingerprint: str, verification: str, plan: str, chunk: str, reject: str
) -> None:
    """Another value would orphan every ledger that there is."""
    assert migration.id == fingerprint
    assert migration.verification_id == verification
    assert chunk_id(migration.id, PLAN) == plan
    assert chunk_id(migration.id, 7) == chunk
    assert RejectRecord(migration.id, 1, '"eu"', "k", "k", "", 1).id == reject


@pytest.mark.parametrize(
    "other",
    [
        replace(MIGRATION, options=Options(7, 100, 5, True)),
        replace(MIGRATION, routing=Routing(shard_key="eu")),
        replace(MIGRATION, target=replace(MIGRATION.target, ledger="another")),
        replace(MIGRATION, source=replace(MIGRATION.source, endpoint=Endpoint("source.example", 6334, True))),
        replace(MIGRATION, target=replace(MIGRATION.target, endpoint=Endpoint("another", 1, True))),
    ],
    ids=["options", "routing", "ledger", "TLS", "target's address"],
)
def test_the_fingerprint_does_not_depend_on_how_it_is_copied(other: Migration) -> None:
    assert other != MIGRATION
    assert other.id == MIGRATION.id


def test_the_order_of_partitions_does_not_matter() -> None:
    ids = {
        replace(MIGRATION, source=replace(MIGRATION.source, partitions=partitions)).id
        for partitions in (("a", "b"), ("b", "a"))
    }
    assert len(ids) == 1
    assert MIGRATION.id not in ids


def test_every_part_of_the_ends_makes_another_fingerprint() -> None:
    source, target = MIGRATION.source, MIGRATION.target
    others = [
        replace(MIGRATION, source=replace(source, kind="milvus")),
        replace(MIGRATION, source=replace(source, endpoint=Endpoint("elsewhere", 6334))),
        replace(MIGRATION, source=replace(source, endpoint=Endpoint("source.example", 6335))),
        replace(MIGRATION, source=replace(source, database="another")),
        replace(MIGRATION, source=replace(source, collection="Products")),
        replace(MIGRATION, source=replace(source, partitions=("a",))),
        replace(MIGRATION, target=replace(target, collection="products2")),
    ]
    assert len({MIGRATION.id, *(other.id for other in others)}) == len(others) + 1


def test_a_migration_survives_the_ledger_and_holds_no_secret() -> None:
    full = replace(
        MIGRATION,
        source=SourceSpec("milvus", Endpoint("::1", 19530, True), "größe", "db", ("a", "b"), {"moment": 2**62}),
        options=Options(7, 100, 5, True, OnError.SKIP),
        routing=Routing(shard_key_field="region"),
    )
    stored = from_payload(to_payload({"definition": msgspec.to_builtins(full)}))["definition"]
    read = msgspec.convert(stored, Migration)
    assert read == full
    assert read.id == full.id
    assert "key" not in {name for end in ("source", "target") for name in stored[end]}


def test_credentials_are_never_shown() -> None:
    secret = Credentials("geheim", "geheim", "geheim", "geheim")
    console = Console(file=io.StringIO())
    console.print(secret, [secret])
    shown = console.file
    assert isinstance(shown, io.StringIO)
    assert "geheim" not in f"{secret} {secret!r} {[secret]} {shown.getvalue()}"


@pytest.mark.parametrize(
    ("url", "endpoint"),
    [
        ("http://localhost:6334", Endpoint("localhost", 6334)),
        ("http://localhost", Endpoint("localhost", 6334)),
        ("https://cloud.example:443/", Endpoint("cloud.example", 443, True)),
        ("HTTPS://Cloud.Example", Endpoint("cloud.example", 6334, True)),
        ("http://[::1]:7000", Endpoint("::1", 7000)),
        ("  http://10.0.0.1:1 ", Endpoint("10.0.0.1", 1)),
    ],
)
def test_a_url_is_read(url: str, endpoint: Endpoint) -> None:
    assert Endpoint.parse(url, "--source-url") == endpoint
    assert Endpoint.parse(endpoint.url, "--source-url") == endpoint


@pytest.mark.parametrize(
    "url",
    [
        "", "localhost", "localhost:6334", "ftp://a", "http://", "http://:6334", "http://a:b", "http://a:65536",
        "http://a:0", "http://a:-1", "http://a/b", "http://a?b", "http://a#b", "http://[::1",
    ],
)  # fmt: skip
def test_what_is_no_url_is_refused_with_option_and_value(url: str) -> None:
    with pytest.raises(UsageError) as refused:
        Endpoint.parse(url, "--target-url")
    assert str(refused.value).startswith(f"--target-url {url}: ")
    assert "http://host:6334" in str(refused.value)


@pytest.mark.parametrize(
    "url", ["http://me:geheim@a:1", "http://geheim@a:1", "http://me:geheim@a:b", "geheim@a", "http://me:ge@heim@a"]
)
def test_credentials_in_a_url_are_never_repeated(url: str) -> None:
    with pytest.raises(UsageError) as refused:
        Endpoint.parse(url, "--target-url")
    assert "geheim" not in str(refused.value)
    assert "heim" not in redacted(url)


POSTGRES = UrlForm(5432, {"postgresql": False, "postgresqls": True}, has_path=True)
FILE = UrlForm(None, {"file": False}, has_path=True)


@pytest.mark.parametrize(
    ("url", "form", "endpoint"),
    [
        ("postgresql://a/shop/", POSTGRES, Endpoint("a", 5432, scheme="postgresql", path="/shop")),
        ("postgresqls://a:1", POSTGRES, Endpoint("a", 1, True, scheme="postgresqls")),
        ("file:///data/rows", FILE, Endpoint("", 0, scheme="file", path="/data/rows")),
    ],
)
def test_a_kinds_own_urls_are_read(url: str, form: UrlForm, endpoint: Endpoint) -> None:
    assert Endpoint.parse(url, "--source-url", form) == endpoint
    assert Endpoint.parse(endpoint.url, "--source-url", form) == endpoint


@pytest.mark.parametrize(
    ("url", "form", "example"),
    [
        ("http://a/shop", POSTGRES, "postgresql://host:5432/path or postgresqls://host:5432/path"),
        ("postgresql:///shop", POSTGRES, "postgresql://host:5432/path"),
        ("file://host/data", FILE, "file:///path"),
        ("file:///data?a=b", FILE, "file:///path"),
    ],
)
def test_a_url_of_another_form_is_refused_with_examples_of_the_right_one(
    url: str, form: UrlForm, example: str
) -> None:
    with pytest.raises(UsageError) as refused:
        Endpoint.parse(url, "--source-url", form)
    assert str(refused.value).startswith(f"--source-url {url}: ")
    assert example in str(refused.value)


def test_trusted_certificates_need_a_url_with_tls() -> None:
    assert Endpoint.parse("https://a", "--source-url", ca_cert="PEM").ca_cert == "PEM"
    with pytest.raises(UsageError, match="no meaning without TLS"):
        Endpoint.parse("http://a", "--source-url", ca_cert="PEM")


def test_the_path_of_a_source_is_part_of_its_fingerprint() -> None:
    ids = {
        Migration(SourceSpec("rows", Endpoint("", 0, scheme="file", path=path), "a"), MIGRATION.target).id
        for path in ("", "/one", "/two")
    }
    assert len(ids) == 3


LOOPBACK = ["localhost", "127.0.0.1", "127.0.0.2", "::1"]


@pytest.mark.parametrize("host", LOOPBACK)
def test_both_ends_equal_is_refused_whatever_the_host_is_called(host: str) -> None:
    with pytest.raises(UsageError, match="source and target collections must be different"):
        Migration(
            SourceSpec("qdrant", Endpoint(host, 6334), "products"),
            TargetSpec(Endpoint("localhost", 6334), "products"),
        )


def test_ends_that_differ_in_one_thing_are_different() -> None:
    source = SourceSpec("qdrant", Endpoint("localhost", 6334), "products")
    for target in (
        TargetSpec(Endpoint("localhost", 6335), "products"),
        TargetSpec(Endpoint("other", 6334), "products"),
        TargetSpec(Endpoint("localhost", 6334), "copy"),
    ):
        assert Migration(source, target).title.startswith("products → ")


def test_a_milvus_collection_may_have_the_targets_name() -> None:
    source = SourceSpec("milvus", Endpoint("localhost", 6334), "products")
    assert Migration(source, TargetSpec(Endpoint("localhost", 6334), "products")).id


@pytest.mark.parametrize("ledger", ["copy", "products"])
def test_the_ledger_is_not_what_is_copied(ledger: str) -> None:
    here = Endpoint("localhost", 6334)
    with pytest.raises(UsageError, match="--migration-offsets-collection-name"):
        Migration(SourceSpec("qdrant", here, "products"), TargetSpec(here, "copy", ledger))


def test_two_routings_exclude_each_other() -> None:
    with pytest.raises(UsageError, match="exclude each other"):
        replace(MIGRATION, routing=Routing("eu", "region"))
