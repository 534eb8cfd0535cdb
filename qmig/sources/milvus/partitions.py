"""The partitions of a Milvus collection: their names and ids, and whether all of them are loaded.

A query that names no partition reads those that are loaded, and says nothing about the others. So every query names
all partitions: then one that is not loaded is an error (measured on 2.3.5).
"""

from collections.abc import Sequence

from qmig.errors import TerminalError, TransientError, UsageError
from qmig.formatting import command_option
from qmig.sources.milvus.connection import MilvusConnection, UnsupportedCallError
from qmig.sources.milvus.messages import milvus
from qmig.sources.milvus.schema import Collection

#: States of loading.
LOADING, LOADED = 2, 3


def partition_names(server: MilvusConnection, name: str) -> list[str]:
    """List the partitions of a collection, sorted."""
    return sorted(partition_ids(server, name))


def partition_ids(server: MilvusConnection, name: str) -> dict[str, int]:
    """The ids of a collection's partitions by their names; 0 where the server gives none."""
    request = milvus.ShowPartitionsRequest(collection_name=name)
    answer = server.ask("ShowPartitions", request, milvus.ShowPartitionsResponse)
    ids = list(answer.partitionIDs) or [0] * len(answer.partition_names)
    return dict(zip(answer.partition_names, ids, strict=True))


def named_partitions(server: MilvusConnection, name: str, has_partition_key: bool) -> list[str]:
    """The partitions that a query of all rows names; none where the server has none, or refuses their names.

    It refuses them for a collection with a partition key. Its partitions are loaded and released only together.
    """
    if has_partition_key:
        return []
    try:
        return partition_names(server, name)
    except UnsupportedCallError:
        return []


def check_loaded(server: MilvusConnection, name: str, partitions: Sequence[str]) -> None:
    """Raise TerminalError unless the collection, and each of these partitions, is loaded.

    TransientError while one is being loaded. The collection itself counts as loaded when one of its partitions is,
    and as being loaded while one is.
    """
    try:
        state = _load_state(server, name, [])
        if state == LOADED and (not partitions or _load_state(server, name, partitions) == LOADED):
            return
        states = {one: _load_state(server, name, [one]) for one in partitions}
    except TerminalError:
        # A server without this call, or that forbids it, reports it when the collection is read.
        return
    missing = [one for one in states if states[one] not in (LOADING, LOADED)]
    others = [one for one in states if one not in missing]
    if missing and (others or state in (LOADING, LOADED)):
        raise TerminalError(_not_loaded(name, missing, others))
    if missing or state not in (LOADING, LOADED):
        raise TerminalError(
            f"the source's collection {name!r} is not loaded, so it cannot be read; load it in Milvus "
            f"(`client.load_collection({name!r})`) and start again"
        )
    if LOADING in states.values() or not states:
        message = f"the source's collection {name!r} is still being loaded, so it cannot be read yet"
        raise TransientError(message, reason="source being loaded")


def _load_state(server: MilvusConnection, name: str, partitions: Sequence[str]) -> int:
    request = milvus.GetLoadStateRequest(collection_name=name, partition_names=partitions)
    state: int = server.ask("GetLoadState", request, milvus.GetLoadStateResponse).state
    return state


def _not_loaded(name: str, missing: Sequence[str], loaded: Sequence[str]) -> str:
    others = f", or read only the others with {' '.join(command_option('--source-partition', one) for one in loaded)}"
    return (
        f"the source's collection {name!r} is loaded without its partitions {', '.join(map(repr, missing))}, whose "
        f"rows cannot be read; load them in Milvus (`client.load_partitions({name!r}, {list(missing)!r})`) and start "
        f"again{others if loaded else ''}"
    )


def check_chosen(server: MilvusConnection, collection: Collection, chosen: Sequence[str]) -> None:
    """Raise UsageError where one of the partitions that the command names cannot be read by itself."""
    if key := collection.partition_key:
        raise UsageError(
            f"--source-partition: {collection.name!r} spreads its rows over partitions by the partition key "
            f"{key.name!r}, and Milvus reads only all of them; leave the option out"
        )
    try:
        there = partition_names(server, collection.name)
    except UnsupportedCallError:
        raise UsageError("--source-partition: this server has no partitions; leave the option out") from None
    for name in chosen:
        if name not in there:
            raise UsageError(
                f"{command_option('--source-partition', name)}: {collection.name!r} has no such partition; it has "
                f"{', '.join(there)}"
            )
