"""The messages come without the REST client, and stay the same beside it."""

import subprocess
import sys


def test_messages_come_without_the_rest_client_and_are_its_own_afterwards() -> None:
    program = """
import sys
from qmig.qdrant import messages as api
assert "qdrant_client.http" not in sys.modules
import qdrant_client
from qdrant_client import grpc
assert qdrant_client.QdrantClient(":memory:").get_collections().collections == []
assert grpc.PointStruct is api.PointStruct
"""
    subprocess.run([sys.executable, "-c", program], check=True)
