"""Recognise a collection: Qdrant gives it no id, so a migration records what a collection keeps while it exists.

Recorded are the parameters of its vectors, its sharding, when it was created (if the server tells), and some ids that
it holds. Indexes, optimizer settings, the number of shards and the number of points may change. Vectors may be added
and dropped: only those that were there before and are there now are compared.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from qmig.errors import QmigError, TerminalError
from qmig.qdrant import messages as api
from qmig.qdrant.aliases import own_name
from qmig.qdrant.collection import collection_info
from qmig.qdrant.enum_names import enum_name
from qmig.qdrant.ids import raw_id_of
from qmig.qdrant.reader import CollectionReader

#: Ids that are recorded.
MAX_LANDMARKS = 32


def settings_of(info: api.CollectionInfo) -> dict[str, Any]:
    """The settings that identify a collection, for the ledger."""
    params = info.config.params
    dense = dict(params.vectors_config.params_map.map)
    if params.vectors_config.HasField("params"):
        dense[""] = params.vectors_config.params
    vectors = {name: _fixed(vector) for name, vector in dense.items()}
    vectors.update(dict.fromkeys(params.sparse_vectors_config.map, "sparse"))
    found: dict[str, Any] = {
        "vectors": vectors,
        "sharding": enum_name(api.ShardingMethod.DESCRIPTOR, params.sharding_method),
    }
    if info.HasField("created_at"):
        found["created_at"] = info.created_at.ToJsonString()
    return found


def difference(recorded: Mapping[str, Any], now: Mapping[str, Any]) -> str | None:
    """Why settings are those of another collection than the recorded ones, in a few words; None if they are not."""
    before, vectors = recorded.get("vectors", {}), now["vectors"]
    for name in sorted(before.keys() & vectors.keys()):
        if before[name] != vectors[name]:
            return f"{f'vector {name!r}' if name else 'its vector'} was {before[name]} and is {vectors[name]}"
    if before and not before.keys() & vectors.keys():
        return f"it had the vectors {', '.join(map(repr, sorted(before)))}, and has none of them"
    for field in ("sharding", "created_at"):
        # A server that was upgraded meanwhile may tell more, and one that was not may tell less.
        if field in recorded and field in now and recorded[field] != now[field]:
            return f"{field} was {recorded[field]} and is {now[field]}"
    return None


def identity_of(reader: CollectionReader, info: api.CollectionInfo) -> dict[str, Any]:
    """What identifies a collection, for the ledger: its settings and some of its ids."""
    return {**settings_of(info), "points": _landmarks(reader)}


def check_same(reader: CollectionReader, recorded: Mapping[str, Any]) -> None:
    """Raise TerminalError where the collection is another one than the one that `recorded` identifies.

    It is another one if its name has become an alias, if a recorded setting has another value, or if none of its
    vectors or of the recorded ids is left. Deleted points do not matter, even if they are most of them.
    """
    server, name = reader.server, reader.collection
    other = own_name(server, name)
    if other != name:
        raise _another(reader, f"{name!r} is now an alias of {other!r}")
    info = collection_info(server, name)
    if info is None:
        raise TerminalError(
            f"the {server.role} collection {name!r} no longer exists; restore it, or begin again with "
            "--restart-migration"
        )
    if reason := difference(recorded, settings_of(info)):
        raise _another(reader, reason)
    landmarks: Sequence[str] = recorded.get("points", ())
    if landmarks and not reader.present_ids([raw_id_of(one) for one in landmarks], [None]):
        raise _another(reader, f"the {len(landmarks)} points that were looked up are gone")


def _another(reader: CollectionReader, reason: str) -> TerminalError:
    return TerminalError(
        f"the {reader.server.role} collection {reader.collection!r} is not the one that the migration began with: "
        f"{reason}; restore that one, or begin again with --restart-migration"
    )


def _fixed(vector: api.VectorParams) -> str:
    """The parameters of a dense vector that no update changes, as text."""
    parts = [f"size {vector.size}", enum_name(api.Distance.DESCRIPTOR, vector.distance)]
    if vector.datatype:
        parts.append(enum_name(api.Datatype.DESCRIPTOR, vector.datatype))
    if vector.HasField("multivector_config"):
        parts.append(enum_name(api.MultiVectorComparator.DESCRIPTOR, vector.multivector_config.comparator))
    return " ".join(parts)


def _landmarks(reader: CollectionReader) -> list[str]:
    """Some ids of the collection: a random sample, or the first ones where the server cannot draw any."""
    try:
        return reader.some_ids(MAX_LANDMARKS)
    except QmigError:
        return reader.start_keys(None, None, None, MAX_LANDMARKS).result().keys
