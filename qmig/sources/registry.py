"""The kinds of sources: one row for each, and those that installed packages add.

A package adds a kind by an entry point in the group `qmig.sources`, which names a `SourceKind`.
"""

from functools import cache
from typing import TYPE_CHECKING

from qmig.errors import MissingKindError, TerminalError
from qmig.migration import GRPC_URL, HTTP_SCHEMES, Credentials, Endpoint, Migration, SourceSpec, UrlForm
from qmig.sources.kind import SourceKind

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from qmig.sources.base import Source

ENTRY_POINTS = "qmig.sources"

KINDS = {
    kind.name: kind
    for kind in (
        SourceKind(
            name="qdrant",
            product="Qdrant",
            module="qmig.sources.qdrant",
            partition_word="shard key",
            url=GRPC_URL,
            api_key_help="API key of the source.",
            dotted="source",
        ),
        SourceKind(
            name="milvus",
            product="Milvus",
            module="qmig.sources.milvus",
            partition_word="partition",
            url=UrlForm(19530, HTTP_SCHEMES, name="gRPC URL"),
            api_key_help="Token of the source, or user:password.",
            has_users=True,
            help="The collection must be loaded. Every field keeps its name; --dry-run prints how each is mapped, "
            "with one converted row.",
            dotted="milvus",
        ),
    )
}


def kind_names() -> list[str]:
    """The names of all kinds, qmig's own first."""
    return [*KINDS, *(name for name in _installed() if name not in KINDS)]


def find_kind(name: str) -> SourceKind | None:
    """The kind of this name; None where neither qmig nor an installed package has it."""
    if name in KINDS:
        return KINDS[name]
    return _load(name) if name in _installed() else None


def kind_of(source: SourceSpec) -> SourceKind:
    """The kind of a source; MissingKindError where the package that adds it is not on this machine."""
    kind = find_kind(source.kind)
    if kind is None:
        raise MissingKindError(
            f"there is no kind of source {source.kind!r} on this machine, only {', '.join(kind_names())}; install "
            "the package that adds it"
        )
    return kind


def open_source(migration: Migration, credentials: Credentials, retry_for: float) -> "Source":
    """Connect to the migration's source; calls are retried for `retry_for` seconds after a transient error."""
    return kind_of(migration.source).load().open_source(migration, credentials, retry_for)


def is_at(source: SourceSpec, url: str) -> bool:
    """Whether a source is at `url`, the value of `--source-url`, as its kind reads URLs.

    A ledger may hold sources of several kinds: no source is at a URL of another kind, or of a kind that is missing.
    """
    kind = find_kind(source.kind)
    if kind is None or not _may_be_of(url, kind):
        return False
    named, recorded = Endpoint.parse(url, "--source-url", kind.url), source.endpoint
    return (named.host, named.port, named.path) == (recorded.host, recorded.port, recorded.path)


def _may_be_of(url: str, kind: SourceKind) -> bool:
    """False where the URL's scheme is that of other kinds alone; a scheme of no kind is an error for `Endpoint`."""
    scheme = url.strip().partition("://")[0].lower()
    if scheme in kind.url.schemes:
        return True
    return not any(scheme in other.url.schemes for name in kind_names() if (other := find_kind(name)) is not None)


def partition_title(migration: Migration, partition: str | None) -> str:
    """A partition for people, such as `shard key eu`; empty where the source has no partitions."""
    if partition is None:
        return ""
    kind = find_kind(migration.source.kind)
    return f"{kind.partition_word if kind is not None else 'partition'} {partition}"


@cache
def _installed() -> "dict[str, EntryPoint]":
    # Late: the commands of qmig's own kinds do without it, and it takes a while to import.
    from importlib.metadata import entry_points

    return {found.name: found for found in entry_points(group=ENTRY_POINTS)}


@cache
def _load(name: str) -> SourceKind:
    entry = _installed()[name]
    try:
        kind = entry.load()
    except Exception as error:
        raise MissingKindError(f"the source {name!r} of {entry.value} cannot be loaded: {error!r}") from error
    if not isinstance(kind, SourceKind) or kind.name != name:
        raise TerminalError(f"the entry point {name!r} of {entry.value} is not a SourceKind of that name")
    return kind
