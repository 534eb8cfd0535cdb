"""A kind of source: its row in the registry, and what its module offers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, cast

from qmig.migration import Credentials, Migration, SourceSpec, UrlForm

if TYPE_CHECKING:
    from qmig.sources.base import Source


@dataclass(frozen=True)
class SourceOption:
    """An option of one kind's command."""

    #: The name of its value.
    name: str
    #: Its spellings, such as `--skip-field`.
    flags: tuple[str, ...]
    #: Its help, and other arguments of `click.option`.
    settings: Mapping[str, Any]


def source_option(name: str, *flags: str, **settings: Any) -> SourceOption:
    """Declare an option: the name of its value, its spellings, and settings as `click.option` takes them."""
    return SourceOption(name, flags, settings)


class SourceModule(Protocol):
    """The interface of a kind's module."""

    #: The options of `qmig NAME` beyond those that every kind has.
    OPTIONS: Sequence[SourceOption]

    def with_options(self, source: SourceSpec, given: Mapping[str, Any]) -> SourceSpec:
        """Put the values of `OPTIONS`, by their names, into the source; UsageError where a value is wrong."""

    def open_source(self, migration: Migration, credentials: Credentials, retry_for: float) -> "Source":
        """Connect to the migration's source; calls are retried for `retry_for` seconds after a transient error."""


@dataclass(frozen=True)
class SourceKind:
    """One row of the registry: the properties of a kind of source that are known before its module is imported."""

    #: The name: `qmig NAME` is its command, and the ledger records it.
    name: str
    #: Name of the product for people, such as "Milvus".
    product: str
    #: Import path of its `SourceModule`.
    module: str
    #: What its partitions are called, such as "shard key".
    partition_word: str
    #: What its URLs look like.
    url: UrlForm
    #: Help of `--source-api-key`; None where the source takes no key.
    api_key_help: str | None = None
    #: Whether the source takes a user name and a password.
    has_users: bool = False
    #: Sentences about this kind for the help of its command.
    help: str = ""
    #: First part of the dotted names that qdrant/migration has for its options; None where it has none.
    dotted: str | None = None

    def load(self) -> SourceModule:
        """Import the module."""
        return cast(SourceModule, import_module(self.module))
