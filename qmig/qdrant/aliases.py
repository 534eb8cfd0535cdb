"""Resolve aliases: every call by an alias follows it at once, so a migration asks once and keeps the own name."""

from qmig.errors import AccessError
from qmig.qdrant import messages as api
from qmig.qdrant.server import Server


def own_name(server: Server, name: str) -> str:
    """The own name of the collection that `name` stands for: `name` itself unless it is an alias.

    An API key that may not list aliases is limited to collections that it names; `name` is then taken as it is.
    """
    try:
        aliases = server.call(server.collections.ListAliases, api.ListAliasesRequest()).aliases
    except AccessError:
        return name
    return next((alias.collection_name for alias in aliases if alias.alias_name == name), name)
