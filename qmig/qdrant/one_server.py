"""Find out whether two addresses are those of one Qdrant server: by name, by address, or by its peers' ids."""

import socket

from qmig.errors import QmigError
from qmig.migration import Endpoint
from qmig.qdrant.collection import collection_names, peer_ids
from qmig.qdrant.server import Server


def is_one_server(one: Server, other: Server, collection: str) -> bool:
    """Whether two servers that both have a collection of this name are one, or of one cluster, as far as can be told.

    They are one if their names are or resolve to the same address and port. Behind a proxy or another port they are
    recognised by the ids of the peers that hold the collection: a server draws its own at random, and keeps it.
    A copy of a server's storage has the same ids, so the other collections must have the same names too.
    """
    if one.endpoint.is_same_server(other.endpoint) or _addresses(one.endpoint) & _addresses(other.endpoint):
        return True
    return bool(_peers(one, collection) & _peers(other, collection)) and (
        sorted(collection_names(one)) == sorted(collection_names(other))
    )


def _addresses(endpoint: Endpoint) -> set[tuple[str, int]]:
    try:
        found = socket.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM)
    except OSError:
        return set()
    return {(str(address[0]), endpoint.port) for *_, address in found}


def _peers(server: Server, collection: str) -> set[int]:
    """The ids of the peers that hold a collection; none where there is no such collection, or the key forbids it."""
    try:
        return peer_ids(server, collection)
    except QmigError:
        return set()
