"""One collection: its settings, its shards and their files."""

from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path
from typing import Any

import qdrant_edge as edge
from google.protobuf.message import Message

from qmig.embedded.qdrant import indexes, settings
from qmig.embedded.qdrant.refusals import bad_input, bad_request, from_engine, invalid, no_space
from qmig.embedded.qdrant.values import Key, from_shard_key, quoted, to_shard_key
from qmig.qdrant import messages as api

#: Free bytes on the disk below which writes are refused: room for a segment of the engine's log.
LEAST_FREE = 64 * 2**20
SETTINGS = "collection.pb"
LAYOUT = "layout.pb"


class Collection:
    """A collection in its directory.

    `collection.pb` holds the settings and payload indexes as Get shows them, `layout.pb` the shards as the
    cluster info shows them, `shards/N` the points of shard N. A shard key made of several shards keeps all
    its points in the first of them.
    """

    def __init__(self, name: str, path: Path, info: api.CollectionInfo, layout: Any) -> None:
        self.name = name
        self.path = path
        self.info = info
        self.layout: api.CollectionClusterInfoResponse = layout
        self.shards: dict[Key, edge.EdgeShard] = {}
        self.lock = threading.RLock()

    @classmethod
    def create(cls, name: str, path: Path, config: api.CollectionConfig, peer: int) -> Collection:
        """Create a collection on this peer; it exists as soon as `collection.pb` does."""
        engine_config = settings.engine_config(config.params)
        (path / "shards").mkdir(parents=True)
        info = api.CollectionInfo(status=api.Green, optimizer_status=api.OptimizerStatus(ok=True), config=config)
        collection = cls(name, path, info, api.CollectionClusterInfoResponse(peer_id=peer))
        if not collection.has_shard_keys:
            collection._add_shard(None, config.params.shard_number, engine_config)
        collection._save_layout()
        collection._save_settings()
        return collection

    @classmethod
    def load(cls, name: str, path: Path) -> Collection:
        info = api.CollectionInfo.FromString((path / SETTINGS).read_bytes())
        layout = api.CollectionClusterInfoResponse.FromString((path / LAYOUT).read_bytes())
        collection = cls(name, path, info, layout)
        first: dict[Key, int] = {}
        for shard in layout.local_shards:
            first.setdefault(key_of(shard), shard.shard_id)
        for leftover in (path / "shards").iterdir():
            if leftover.name not in map(str, first.values()):
                shutil.rmtree(leftover)
        for key, shard_id in first.items():
            collection.shards[key] = edge.EdgeShard.load(str(path / "shards" / str(shard_id)))
        return collection

    @property
    def has_shard_keys(self) -> bool:
        return bool(self.info.config.params.sharding_method == api.Custom)

    def read_shards(self, selector: api.ShardKeySelector | None) -> list[tuple[Key, edge.EdgeShard]]:
        """The shards that a read covers: those selected, or all."""
        if selector is None:
            return list(self.shards.items())
        keys = selected_keys(selector)
        for key in keys:
            if key not in self.shards:
                raise bad_request(f"Shard key {quoted(key)} not found")
        return [(key, self.shards[key]) for key in keys]

    def write(self, operation: edge.UpdateOperation, selector: api.ShardKeySelector | None) -> None:
        """Apply an operation to the selected shards, with no other write between its filter and its effect."""
        with self.lock:
            require_space(self.path)
            for shard in self._write_shards(selector):
                apply(shard, operation)

    def _write_shards(self, selector: api.ShardKeySelector | None) -> list[edge.EdgeShard]:
        keys = [None] if selector is None else selected_keys(selector)
        if not keys:
            raise bad_input("Empty shard keys selection")
        for key in keys:
            if key not in self.shards:
                if key is None:
                    raise bad_input("Shard key not specified")
                raise bad_input(f"Shard key {quoted(key)} not found")
        return [self.shards[key] for key in keys]

    def create_shard_key(self, request: api.CreateShardKey) -> None:
        key = from_shard_key(request.shard_key)
        with self.lock:
            self._require_shard_keys()
            if key in self.shards:
                raise bad_request(f"Sharding key {quoted(key)} already exists for collection {self.name}")
            params = self.info.config.params
            count = request.shards_number if request.HasField("shards_number") else params.shard_number
            if count == 0:
                raise invalid("Shard number cannot be zero: out of range integral type conversion attempted")
            self._add_shard(key, count, settings.engine_config(params))
            for field, index in self.info.payload_schema.items():
                schema = indexes.engine_schema(index)
                apply(self.shards[key], edge.UpdateOperation.create_field_index(field, schema))
            self._save_layout()

    def _require_shard_keys(self) -> None:
        if not self.has_shard_keys:
            raise bad_request("Shard Key cannot be created with Auto sharding method")

    def _add_shard(self, key: Key, count: int, config: edge.EdgeConfig) -> None:
        """Add the shards of a shard key, numbered from 1 as in a real server, or those of the collection, from 0."""
        first = 0
        if key is not None:
            first = max((shard.shard_id for shard in self.layout.local_shards), default=0) + 1
        path = self.path / "shards" / str(first)
        if path.exists():
            shutil.rmtree(path)
        self.shards[key] = edge.EdgeShard.create(str(path), config)
        for shard_id in range(first, first + count):
            shard = self.layout.local_shards.add(shard_id=shard_id, state=api.Active)
            if key is not None:
                shard.shard_key.CopyFrom(to_shard_key(key))

    def delete_shard_key(self, request: api.DeleteShardKey) -> None:
        key = from_shard_key(request.shard_key)
        with self.lock:
            self._require_shard_keys()
            if key not in self.shards:
                raise bad_request(f"Sharding key {quoted(key)} does not exist for collection {self.name}")
            kept = [shard for shard in self.layout.local_shards if key_of(shard) != key]
            dropped = next(shard.shard_id for shard in self.layout.local_shards if key_of(shard) == key)
            del self.layout.local_shards[:]
            self.layout.local_shards.extend(kept)
            self._save_layout()
            self.shards.pop(key).close()
            shutil.rmtree(self.path / "shards" / str(dropped))

    def create_index(self, field: str, index: api.PayloadSchemaInfo) -> None:
        schema = indexes.engine_schema(index)
        with self.lock:
            for shard in self.shards.values():
                apply(shard, edge.UpdateOperation.create_field_index(field, schema))
            self.info.payload_schema[field].CopyFrom(index)
            self._save_settings()

    def delete_index(self, field: str) -> None:
        with self.lock:
            for shard in self.shards.values():
                apply(shard, edge.UpdateOperation.delete_field_index(field))
            self.info.payload_schema.pop(field, None)
            self._save_settings()

    def update(self, request: api.UpdateCollection) -> None:
        with self.lock:
            config = api.CollectionConfig()
            config.CopyFrom(self.info.config)
            settings.update_config(config, request)
            self.info.config.CopyFrom(config)
            self._save_settings()

    def describe(self) -> api.CollectionInfo:
        """The collection as Get shows it."""
        with self.lock:
            info = api.CollectionInfo()
            info.CopyFrom(self.info)
            shards = [shard.info() for shard in self.shards.values()]
            info.points_count = sum(shard.points_count for shard in shards)
            info.segments_count = sum(shard.segments_count for shard in shards)
            info.indexed_vectors_count = 0
            for field, index in info.payload_schema.items():
                found = (shard.payload_schema.get(field) for shard in shards)
                index.points = sum(shard_index.points for shard_index in found if shard_index)
            info.update_queue.SetInParent()
            return info

    def describe_layout(self) -> api.CollectionClusterInfoResponse:
        """The collection's shards as the cluster info shows them."""
        with self.lock:
            layout = api.CollectionClusterInfoResponse()
            layout.CopyFrom(self.layout)
            layout.shard_count = len(layout.local_shards)
            counted: set[Key] = set()
            for shard in layout.local_shards:
                key = key_of(shard)
                if key not in counted:
                    shard.points_count = self.shards[key].info().points_count
                    counted.add(key)
            return layout

    def flush(self) -> None:
        """Write everything through to disk and shorten the engine's log."""
        with self.lock:
            for shard in self.shards.values():
                shard.flush()

    def close(self) -> None:
        with self.lock:
            for shard in self.shards.values():
                shard.close()
            self.shards.clear()

    def _save_settings(self) -> None:
        replace(self.path / SETTINGS, self.info)

    def _save_layout(self) -> None:
        replace(self.path / LAYOUT, self.layout)


def key_of(shard: api.LocalShardInfo) -> Key:
    return from_shard_key(shard.shard_key) if shard.HasField("shard_key") else None


def selected_keys(selector: api.ShardKeySelector) -> list[Key]:
    return [from_shard_key(key) for key in selector.shard_keys]


def require_space(path: Path) -> None:
    """Refuse writes where the disk is nearly full: the engine maps its files, and SIGBUS would kill the process."""
    if shutil.disk_usage(path).free < LEAST_FREE:
        raise no_space()


def apply(shard: edge.EdgeShard, operation: edge.UpdateOperation) -> None:
    try:
        shard.update(operation)
    except Exception as error:
        raise from_engine(error) from error


def replace(path: Path, message: Message) -> None:
    """Replace a file atomically, and sync it to disk."""
    new = path.with_suffix(".new")
    with new.open("wb") as file:
        file.write(message.SerializeToString())
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
