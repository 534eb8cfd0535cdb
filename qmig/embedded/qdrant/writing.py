"""The writing half of the Points service."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qdrant_edge as edge
from google.protobuf.message import Message

from qmig.embedded.qdrant.calls import serves
from qmig.embedded.qdrant.filters import optional_filter, to_filter
from qmig.embedded.qdrant.indexes import index_info
from qmig.embedded.qdrant.refusals import bad_request, invalid, unserved
from qmig.embedded.qdrant.storage import Storage
from qmig.embedded.qdrant.values import EngineIds, from_payload, from_point_id
from qmig.embedded.qdrant.vectors import from_vectors
from qmig.qdrant import messages as api

Update = edge.UpdateOperation
UPDATE_MODES = {
    api.Upsert: edge.UpdateMode.Upsert,
    api.InsertOnly: edge.UpdateMode.InsertOnly,
    api.UpdateOnly: edge.UpdateMode.UpdateOnly,
}


class Writing:
    """Applies every write, and has it in the engine's log on disk, before it answers."""

    storage: Storage

    def __init__(self, storage: Storage) -> None:
        self.storage = storage

    @serves("collection_name", "wait", "points", "shard_key_selector", "update_filter", "update_mode")
    def Upsert(self, request: Any) -> Message:
        points = [to_point(point) for point in request.points]
        if not points:
            raise bad_request("Empty update request")
        if request.update_mode not in UPDATE_MODES:
            raise unserved(f"`update_mode` {request.update_mode} in Upsert")
        condition = optional_filter(request, "update_filter")
        mode = UPDATE_MODES[request.update_mode]
        return self.write(request, Update.upsert_points(points, condition, mode))

    @serves("collection_name", "wait", "points", "shard_key_selector")
    def Delete(self, request: Any) -> Message:
        return self.write_selected(request, "points", Update.delete_points, Update.delete_points_by_filter)

    @serves("collection_name", "wait", "payload", "points_selector", "shard_key_selector", "key")
    def SetPayload(self, request: Any) -> Message:
        payload = from_payload(request.payload)
        key = request.key if request.HasField("key") else None
        return self.write_selected(
            request, "points_selector", Update.set_payload, Update.set_payload_by_filter, payload, key
        )

    @serves("collection_name", "wait", "payload", "points_selector", "shard_key_selector")
    def OverwritePayload(self, request: Any) -> Message:
        payload = from_payload(request.payload)
        return self.write_selected(
            request, "points_selector", Update.overwrite_payload, Update.overwrite_payload_by_filter, payload
        )

    @serves("collection_name", "wait", "keys", "points_selector", "shard_key_selector")
    def DeletePayload(self, request: Any) -> Message:
        keys = list(request.keys)
        return self.write_selected(
            request, "points_selector", Update.delete_payload, Update.delete_payload_by_filter, keys
        )

    @serves("collection_name", "wait", "points", "shard_key_selector")
    def ClearPayload(self, request: Any) -> Message:
        return self.write_selected(request, "points", Update.clear_payload, Update.clear_payload_by_filter)

    @serves("collection_name", "wait", "field_name", "field_type", "field_index_params")
    def CreateFieldIndex(self, request: Any) -> Message:
        collection = self.storage.find(request.collection_name)
        collection.create_index(request.field_name, index_info(request))
        return done(request)

    @serves("collection_name", "wait", "field_name")
    def DeleteFieldIndex(self, request: Any) -> Message:
        self.storage.find(request.collection_name).delete_index(request.field_name)
        return done(request)

    def write_selected(
        self,
        request: Any,
        field: str,
        by_ids: Callable[..., Update],
        by_filter: Callable[..., Update],
        *arguments: Any,
    ) -> Message:
        """Write to the points that the request's `field` selects."""
        ids, condition = selected_points(request, field)
        operation = by_ids(ids, *arguments) if condition is None else by_filter(condition, *arguments)
        return self.write(request, operation)

    def write(self, request: Any, operation: Update) -> Message:
        self.storage.find(request.collection_name).write(operation, shard_selector(request))
        return done(request)


def to_point(message: api.PointStruct) -> edge.Point:
    if not message.HasField("vectors"):
        raise invalid("Expected some vectors")
    return edge.Point(from_point_id(message.id), from_vectors(message.vectors), from_payload(message.payload))


def done(request: Any) -> Message:
    status = api.UpdateStatus.Completed if request.wait else api.UpdateStatus.Acknowledged
    return api.PointsOperationResponse(result=api.UpdateResult(status=status))


def shard_selector(request: Any) -> api.ShardKeySelector | None:
    if not request.HasField("shard_key_selector"):
        return None
    if request.shard_key_selector.HasField("fallback"):
        raise unserved("`fallback` in a shard key selector")
    selector: api.ShardKeySelector = request.shard_key_selector
    return selector


def selected_points(request: Any, field: str) -> tuple[EngineIds, edge.Filter | None]:
    """The ids or the filter by which a request selects points."""
    selector = getattr(request, field)
    kind = selector.WhichOneof("points_selector_one_of")
    if kind is None:
        raise invalid("points_selector is expected" if field == "points_selector" else "PointSelector is missing")
    if kind == "filter":
        return [], to_filter(selector.filter)
    return [from_point_id(point_id) for point_id in selector.points.ids], None
