"""Whether a collection is there, and which names come close where it is not."""

import difflib
from collections.abc import Sequence

from qmig.connections import Server
from qmig.errors import NotFoundError
from qmig.wire import api


def collection_info(server: Server, name: str) -> api.CollectionInfo | None:
    """A collection's settings, or None where there is no such collection."""
    request = api.GetCollectionInfoRequest(collection_name=name)
    try:
        info: api.CollectionInfo = server.call(server.collections.Get, request).result
    except NotFoundError:
        return None
    return info


def collection_names(server: Server) -> list[str]:
    """All collections of a server."""
    request = api.ListCollectionsRequest()
    return [collection.name for collection in server.call(server.collections.List, request).collections]


def close_names(name: str, names: Sequence[str]) -> str:
    """`names` that come close to `name`, for an error message; nothing where none does."""
    close = difflib.get_close_matches(name, names, n=3)
    return f" (close: {', '.join(map(repr, close))})" if close else ""
