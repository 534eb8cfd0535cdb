"""A row whose dynamic field has the name of a field of the schema."""

from pymilvus import DataType, MilvusClient
from pymilvus.grpc_gen import milvus_pb2, milvus_pb2_grpc, schema_pb2

from tests.support.connections import open_channel
from tests.support.milvus.samples.sample import ALL, VECTOR, Field, beside_a_vector


def create_clash(client: MilvusClient, url: str, name: str) -> None:
    """A collection with one row, whose field `known` is 1 and whose dynamic field `known` is 99.

    pymilvus makes no such row, so this one is made of messages.
    """
    sample = beside_a_vector("clash", ALL, [Field("known", DataType.INT64)], [], dynamic=True)
    sample.create(client, name)
    number = schema_pb2.ScalarField(long_data=schema_pb2.LongArray(data=[1]))
    vector = schema_pb2.VectorField(dim=4, float_vector=schema_pb2.FloatArray(data=VECTOR))
    meta = schema_pb2.ScalarField(json_data=schema_pb2.JSONArray(data=[b'{"known": 99, "other": 2}']))
    columns = [
        schema_pb2.FieldData(type=DataType.INT64, field_name="id", scalars=number),
        schema_pb2.FieldData(type=DataType.INT64, field_name="known", scalars=number),
        schema_pb2.FieldData(type=DataType.FLOAT_VECTOR, field_name="vector", vectors=vector),
        schema_pb2.FieldData(type=DataType.JSON, field_name="$meta", scalars=meta, is_dynamic=True),
    ]
    with open_channel(url) as channel:
        request = milvus_pb2.InsertRequest(collection_name=name, fields_data=columns, num_rows=1)
        answer = milvus_pb2_grpc.MilvusServiceStub(channel).Insert(request)
    assert answer.status.code == 0, answer.status.reason
