"""The Collections service: collections, their settings, shard keys and aliases."""

from __future__ import annotations

from typing import Any

from google.protobuf.message import Message

from qmig.embedded.qdrant.calls import serves
from qmig.embedded.qdrant.refusals import invalid, require_served, unserved
from qmig.embedded.qdrant.storage import Storage
from qmig.embedded.qdrant.values import to_shard_key
from qmig.qdrant import messages as api


class CollectionsService:
    """The calls of `qdrant.Collections`."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage

    @serves(*api.CreateCollection.DESCRIPTOR.fields_by_name)
    def Create(self, request: Any) -> Message:
        self.storage.create(request)
        return api.CollectionOperationResponse(result=True)

    @serves("collection_name")
    def Get(self, request: Any) -> Message:
        return api.GetCollectionInfoResponse(result=self.storage.find(request.collection_name).describe())

    @serves()
    def List(self, _: Any) -> Message:
        response = api.ListCollectionsResponse()
        for name in sorted(self.storage.collections):
            response.collections.add(name=name)
        return response

    @serves("collection_name")
    def CollectionExists(self, request: Any) -> Message:
        exists = self.storage.exists(request.collection_name)
        return api.CollectionExistsResponse(result=api.CollectionExists(exists=exists))

    @serves(*api.UpdateCollection.DESCRIPTOR.fields_by_name)
    def Update(self, request: Any) -> Message:
        self.storage.find(request.collection_name).update(request)
        return api.CollectionOperationResponse(result=True)

    @serves("collection_name")
    def Delete(self, request: Any) -> Message:
        return api.CollectionOperationResponse(result=self.storage.delete(request.collection_name))

    @serves("collection_name")
    def CollectionClusterInfo(self, request: Any) -> Message:
        return self.storage.find(request.collection_name).describe_layout()

    @serves("collection_name", "request")
    def CreateShardKey(self, request: Any) -> Message:
        if not request.HasField("request"):
            raise invalid("empty request")
        create = request.request
        require_served(create, "CreateShardKey", "shard_key", "shards_number", "replication_factor", "initial_state")
        if create.initial_state != api.Active:
            raise unserved(f"the initial state {api.ReplicaState.Name(create.initial_state)} in CreateShardKey")
        self.storage.find(request.collection_name).create_shard_key(create)
        return api.CreateShardKeyResponse(result=True)

    @serves("collection_name", "request")
    def DeleteShardKey(self, request: Any) -> Message:
        if not request.HasField("request"):
            raise invalid("empty request")
        self.storage.find(request.collection_name).delete_shard_key(request.request)
        return api.DeleteShardKeyResponse(result=True)

    @serves("collection_name")
    def ListShardKeys(self, request: Any) -> Message:
        response = api.ListShardKeysResponse()
        for key in self.storage.find(request.collection_name).shards:
            if key is not None:
                response.shard_keys.add(key=to_shard_key(key))
        return response

    @serves("actions")
    def UpdateAliases(self, request: Any) -> Message:
        self.storage.change_aliases(request)
        return api.CollectionOperationResponse(result=True)

    @serves("collection_name")
    def ListCollectionAliases(self, request: Any) -> Message:
        return self.storage.list_aliases(request.collection_name)

    @serves()
    def ListAliases(self, _: Any) -> Message:
        return self.storage.list_aliases()
