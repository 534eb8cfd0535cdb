"""Milvus' messages as pymilvus carries them, without pymilvus itself, whose import costs over a second.

`schema`, `milvus` and `common` are the generated modules. `RawQueryResults` reads the answer to a query with every
packed column as bytes: a row of a float column is then a slice, and nothing is decoded that is only passed on.
"""

import sys
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING, Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

__all__ = ["RawQueryResults", "common", "milvus", "schema"]

PACKAGE = f"{__name__}.grpc_gen"
# Columns whose values stay as they are on the wire. `repeated bytes`, because a packed field may come in pieces.
RAW_ARRAYS = (
    "BoolArray",
    "IntArray",
    "LongArray",
    "FloatArray",
    "DoubleArray",
    "StringArray",
    "JSONArray",
    "GeometryWktArray",
    "TimestamptzArray",
)


def _generated(name: str) -> ModuleType:
    """A module of pymilvus' generated code, loaded beside the package instead of through it."""
    if PACKAGE not in sys.modules:
        found = find_spec("pymilvus")
        if found is None or not found.submodule_search_locations:
            raise ModuleNotFoundError("No module named 'pymilvus'", name="pymilvus")
        package = ModuleType(PACKAGE)
        package.__path__ = [f"{found.submodule_search_locations[0]}/grpc_gen"]
        sys.modules[PACKAGE] = package
    return import_module(f"{PACKAGE}.{name}")


if TYPE_CHECKING:
    from pymilvus.grpc_gen import common_pb2 as common
    from pymilvus.grpc_gen import milvus_pb2 as milvus
    from pymilvus.grpc_gen import schema_pb2 as schema
else:
    common = _generated("common_pb2")
    schema = _generated("schema_pb2")
    milvus = _generated("milvus_pb2")


def _raw_query_results() -> Any:
    pool = descriptor_pool.DescriptorPool()
    added: set[str] = set()

    def add(descriptor: Any) -> None:
        if descriptor.name in added:
            return
        added.add(descriptor.name)
        for dependency in descriptor.dependencies:
            add(dependency)
        file = descriptor_pb2.FileDescriptorProto.FromString(descriptor.serialized_pb)
        for message in file.message_type:
            if file.package == "milvus.proto.schema" and message.name in RAW_ARRAYS:
                (field,) = message.field
                field.type = descriptor_pb2.FieldDescriptorProto.TYPE_BYTES
                field.label = descriptor_pb2.FieldDescriptorProto.LABEL_REPEATED
                field.options.Clear()
        pool.Add(file)

    add(milvus.DESCRIPTOR)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("milvus.proto.milvus.QueryResults"))


RawQueryResults: Any = _raw_query_results()
