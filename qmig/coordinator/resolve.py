"""Find the collections that a command's names stand for, and recognise those of a migration that has begun."""

from typing import TypeVar

from msgspec.structs import replace

from qmig.errors import TerminalError
from qmig.ledger.records import MigrationRecord
from qmig.migration import Credentials, Migration, SourceSpec, TargetSpec
from qmig.qdrant.aliases import own_name
from qmig.qdrant.identity import check_same
from qmig.qdrant.reader import CollectionReader
from qmig.qdrant.server import Server, server_version
from qmig.rpc.connection import RETRY_FOR
from qmig.sources.base import Source
from qmig.sources.registry import open_source

End = TypeVar("End", SourceSpec, TargetSpec)


def resolve_source(migration: Migration, credentials: Credentials) -> tuple[Migration, Source]:
    """Open the source by its own name, which takes an alias' place in the returned migration."""
    source = open_source(migration, credentials, RETRY_FOR)
    try:
        name = source.own_name() or migration.source.collection
        if name == migration.source.collection:
            return migration, source
    except BaseException:
        source.close()
        raise
    source.close()
    migration = replace(migration, source=_named(migration.source, name))
    return migration, open_source(migration, credentials, RETRY_FOR)


def resolve_target(migration: Migration, source: Source, target: Server) -> Migration:
    """Put the target's own name in the place of an alias.

    UsageError where both ends are one collection, or the source is the ledger. Two collections of one name are asked
    about more closely: their servers may be one under two addresses.
    """
    server_version(target)
    name = own_name(target, migration.target.collection)
    migration = replace(migration, target=_named(migration.target, name))
    names = (migration.target.collection, migration.target.ledger)
    if migration.source.collection in names and source.is_on(target):
        migration.check_one_server()
    return migration


def check_resumed(record: MigrationRecord, migration: Migration, source: Source, target: Server) -> None:
    """Raise TerminalError unless both ends are the collections that the migration was begun with."""
    before = record.definition
    _check_name("source", before.source, migration.source)
    _check_name("target", before.target, migration.target)
    source.check_unchanged(before.source.identity)
    check_same(CollectionReader(target, before.target.collection), before.target.identity)


def _check_name(role: str, before: SourceSpec | TargetSpec, now: SourceSpec | TargetSpec) -> None:
    if before.collection != now.collection:
        raise TerminalError(
            f"the {role} {now.given!r} is the collection {now.collection!r} now, and this migration was begun with "
            f"{before.collection!r}; point the alias there again, or begin again with --restart-migration"
        )


def _named(end: End, own_name: str) -> End:
    return end if own_name == end.collection else replace(end, collection=own_name, alias=end.given)
