"""What a collection is owed while it is loaded, kept in its own metadata: its final settings, and who loads it.

A load switches off the vector index and strict mode. Whoever finds the collection can put them back, also when the
ledger is lost. An update of metadata merges by key, and a null removes a key. So each migration has a key of its own,
and no two migrations overwrite each other's. Servers before 1.16 keep no metadata: their collections show no debt.
"""

import base64
import binascii
from collections.abc import Iterable
from dataclasses import dataclass, field

from google.protobuf.message import DecodeError

from qmig.qdrant import messages as api
from qmig.qdrant.collection import collection_info, collection_names
from qmig.qdrant.create import CHANGE_TIMEOUT
from qmig.qdrant.payload import from_value, to_payload
from qmig.qdrant.server import Server

#: Begins every key of qmig's in the metadata of a collection.
PREFIX = "qmig/"
#: The key of the request that puts the collection into its final state, serialized, in base64.
FINAL_SETTINGS = f"{PREFIX}final-settings"
#: Begins the key of each migration that loads the collection; the migration's id follows.
LOAD = f"{PREFIX}load/"


@dataclass(frozen=True)
class Load:
    """A migration that loads a collection."""

    #: The name of its ledger, on the same server.
    ledger: str
    #: Whether it created the collection.
    created: bool

    def entry(self, migration: str) -> dict[str, api.Value]:
        """The entry of this load in the collection's metadata."""
        return to_payload({f"{LOAD}{migration}": {"ledger": self.ledger, "created": self.created}})


@dataclass(frozen=True)
class Debt:
    """What a collection is owed."""

    #: The request that puts the collection into its final state, as text; None where nothing is to be put back.
    final_settings: str | None = None
    #: The migrations that load the collection, by id.
    loads: dict[str, Load] = field(default_factory=dict)

    @classmethod
    def of(cls, info: api.CollectionInfo) -> "Debt":
        """The debt that a collection's metadata has. An entry that is not qmig's does not count."""
        loads, final_settings = {}, None
        for key, value in info.config.metadata.items():
            if key == FINAL_SETTINGS and decode_settings(value.string_value, "") is not None:
                final_settings = value.string_value
            elif key.startswith(LOAD) and isinstance(entry := from_value(value), dict):
                loads[key.removeprefix(LOAD)] = Load(str(entry.get("ledger")), entry.get("created") is True)
        return cls(final_settings, loads)

    @property
    def keys(self) -> list[str]:
        """The keys of all its entries in the metadata."""
        return [FINAL_SETTINGS] * (self.final_settings is not None) + [f"{LOAD}{one}" for one in self.loads]


def read_debt(server: Server, name: str) -> Debt | None:
    """The debt of a collection; None where there is no such collection."""
    info = collection_info(server, name)
    return None if info is None else Debt.of(info)


def debts(server: Server) -> dict[str, Debt]:
    """The collections of a server that are loaded, or that a load left unfinished."""
    found = {name: read_debt(server, name) for name in collection_names(server)}
    return {name: debt for name, debt in found.items() if debt is not None and debt.keys}


def encode_settings(request: api.UpdateCollection) -> str:
    """The request as text, for the metadata and for the ledger."""
    return base64.b64encode(request.SerializeToString()).decode()


def decode_settings(text: str, name: str) -> api.UpdateCollection | None:
    """Read a request, as one for the collection `name`, which may have another name by now; None if it is none."""
    try:
        request = api.UpdateCollection.FromString(base64.b64decode(text, validate=True))
    except (binascii.Error, DecodeError, ValueError):
        return None
    request.collection_name = name
    return request if text else None


def add_entries(request: api.CreateCollection | api.UpdateCollection, entries: dict[str, api.Value]) -> None:
    """Let a request write entries into the collection's metadata."""
    for key, value in entries.items():
        request.metadata[key].CopyFrom(value)


def remove_entries(server: Server, name: str, keys: Iterable[str], final_settings: str | None = None) -> None:
    """Remove entries that the metadata has, and put the collection into its final state in the same update."""
    request = decode_settings(final_settings, name) if final_settings is not None else None
    if request is None:
        request = api.UpdateCollection(collection_name=name, timeout=CHANGE_TIMEOUT)
    add_entries(request, to_payload(dict.fromkeys(keys)))
    server.call(server.collections.Update, request)


def settled(info: api.CollectionInfo) -> api.CollectionInfo:
    """The collection's settings as they are when its debt is paid, without qmig's entries in the metadata."""
    debt, after = Debt.of(info), api.CollectionInfo()
    after.CopyFrom(info)
    final = None if debt.final_settings is None else decode_settings(debt.final_settings, "")
    if final is not None:
        after.config.optimizer_config.MergeFrom(final.optimizers_config)
        if final.HasField("strict_mode_config"):
            after.config.strict_mode_config.CopyFrom(final.strict_mode_config)
    for key in list(after.config.metadata):
        if key.startswith(PREFIX):
            del after.config.metadata[key]
    return after
