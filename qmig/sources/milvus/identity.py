"""Recognise a Milvus collection by its id and those of its partitions, or by its fields and some of its keys."""

from collections.abc import Mapping, Sequence
from typing import Any

from qmig.errors import TerminalError
from qmig.sources.milvus.connection import MilvusConnection, UnsupportedCallError
from qmig.sources.milvus.messages import milvus
from qmig.sources.milvus.partitions import partition_ids
from qmig.sources.milvus.schema import Collection


def own_name(server: MilvusConnection, name: str) -> str | None:
    """The own name of the collection that the alias `name` stands for; None where it is none."""
    try:
        answer = server.ask("DescribeAlias", milvus.DescribeAliasRequest(alias=name), milvus.DescribeAliasResponse)
    except TerminalError:
        # There is no such alias, or the server has none at all.
        return None
    return answer.collection or None


def identity_of(server: MilvusConnection, collection: Collection, partitions: Sequence[str]) -> dict[str, Any]:
    """What identifies a collection, for the ledger: the ids that the server gives, and the types of its fields.

    Of the partitions those that are read, all of them if `partitions` is empty.
    """
    found: dict[str, Any] = {"fields": {one.name: one.type_name for one in collection.fields}}
    if collection.id:
        found["collection_id"] = str(collection.id)
    try:
        ids = partition_ids(server, collection.name)
    except UnsupportedCallError:
        ids = {}
    found["partitions"] = {name: str(ids[name]) for name in partitions or ids if ids.get(name)}
    return found


def difference(recorded: Mapping[str, Any], now: Mapping[str, Any]) -> str | None:
    """Why a collection is another one than the recorded one, in a few words; None if it is that one.

    Fields and partitions may be added and dropped. One that was there before and is there now must be the same.
    """
    before_id, now_id = recorded.get("collection_id"), now.get("collection_id")
    if before_id is not None and before_id != now_id:
        return f"its id was {before_id} and is {now_id}"
    for what, kind in (("partitions", "id"), ("fields", "type")):
        before, after = recorded.get(what, {}), now[what]
        for name in sorted(before.keys() & after.keys()):
            if before[name] != after[name]:
                return f"the {kind} of its {what.removesuffix('s')} {name!r} was {before[name]} and is {after[name]}"
    return None
