"""Aliases of Qdrant collections, and collections that are dropped and made again."""

from typing import Any

from qmig.qdrant import messages as api
from qmig.qdrant.server import Server
from tests.support.collections import create, delete, dense_params, fill, simple_points


def point_alias(server: Server, alias: str, collection: str) -> None:
    """Create an alias, or move it."""
    change = api.CreateAlias(alias_name=alias, collection_name=collection)
    request = api.ChangeAliases(actions=[api.AliasOperations(create_alias=change)])
    server.call(server.collections.UpdateAliases, request)


def make_again(server: Server, name: str, points: int, first: int = 0, size: int = 4, **settings: Any) -> None:
    """Drop a collection and make it again under its name, with points from this id on."""
    delete(server, name)
    create(server, name, dense_params(size), **settings)
    fill(server, name, simple_points(points, first, size))
