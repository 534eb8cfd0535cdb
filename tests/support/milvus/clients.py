"""pymilvus' own client, for what the tests put into a server and read from it."""

from pymilvus import MilvusClient

from tests.support.connections import OWN_CONNECTION

# pymilvus pings every ten seconds, whether it asks for anything or not. Milvus Lite 2.5 takes that for an attack and
# ends the connection ("Too many pings"), and whatever is asked at that moment fails.
WITHOUT_PINGS = {"grpc.keepalive_time_ms": 2**31 - 1, "grpc.keepalive_permit_without_calls": False}


def connect(url: str, **settings: str) -> MilvusClient:
    """A client; `settings` are those of pymilvus."""
    return MilvusClient(url, grpc_options={**OWN_CONNECTION, **WITHOUT_PINGS}, **settings)
