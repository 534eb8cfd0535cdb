"""Kinds of sources: the registry's own rows, and the messages for a kind that is missing."""

import pytest

from qmig.errors import UsageError
from qmig.migration import Endpoint, Migration, SourceSpec, TargetSpec, UrlForm
from qmig.sources.kind import SourceKind
from qmig.sources.registry import KINDS, find_kind, is_at, kind_names, kind_of, partition_title

TARGET = TargetSpec(Endpoint("target.example", 6334), "copy")


@pytest.mark.parametrize("name", KINDS)
def test_every_row_has_a_module_that_offers_what_a_kind_needs(name: str) -> None:
    module = KINDS[name].load()

    assert callable(module.open_source)
    assert callable(module.with_options)
    assert all(option.flags and option.settings["help"] for option in module.OPTIONS)


def test_an_unknown_kind_is_named_with_those_that_there_are() -> None:
    assert find_kind("pgvector") is None
    with pytest.raises(UsageError, match=r"'pgvector'.*only qdrant, milvus; install the package"):
        kind_of(SourceSpec("pgvector", Endpoint("a", 1), "products"))
    assert kind_names() == ["qdrant", "milvus"]


@pytest.mark.parametrize(
    ("kind", "url", "expected"),
    [
        ("qdrant", "http://a", True),
        ("qdrant", "http://a:6334/", True),
        ("qdrant", "http://a:19530", False),
        ("qdrant", "http://b", False),
        ("milvus", "http://a", False),
        ("milvus", "http://a:6334", True),
    ],
)
def test_a_source_is_recognised_by_its_url(kind: str, url: str, expected: bool) -> None:
    """A URL without a port means the default port of the source's kind; the source is at port 6334."""
    assert is_at(SourceSpec(kind, Endpoint("a", 6334), "products"), url) == expected


def test_sources_of_other_kinds_in_a_ledger_are_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    form = UrlForm(None, {"file": False}, has_path=True)
    monkeypatch.setitem(KINDS, "files", SourceKind("files", "Files", "nowhere", "part", form))
    rows = SourceSpec("files", Endpoint("", 0, scheme="file", path="/rows"), "rows")
    points = SourceSpec("qdrant", Endpoint("a", 6334), "products")
    missing = SourceSpec("pgvector", Endpoint("a", 5432), "products")
    assert [is_at(source, "http://a") for source in (rows, points, missing)] == [False, True, False]
    assert [is_at(source, "file:///rows") for source in (rows, points, missing)] == [True, False, False]


def test_a_url_of_no_kind_is_refused() -> None:
    with pytest.raises(UsageError, match="--source-url ftp://a: "):
        is_at(SourceSpec("qdrant", Endpoint("a", 6334), "products"), "ftp://a")


@pytest.mark.parametrize(
    ("kind", "partition", "title"),
    [("qdrant", '"eu"', 'shard key "eu"'), ("milvus", "north", "partition north"), ("milvus", None, "")],
)
def test_a_partition_is_called_as_the_product_calls_it(kind: str, partition: str | None, title: str) -> None:
    migration = Migration(SourceSpec(kind, Endpoint("a", 1), "products"), TARGET)
    assert partition_title(migration, partition) == title


def test_a_partition_of_a_kind_that_is_not_installed_has_a_title_all_the_same() -> None:
    assert partition_title(Migration(SourceSpec("pgvector", Endpoint("a", 1), "x"), TARGET), "p1") == "partition p1"
