"""An embedded Qdrant endpoint: Qdrant's own storage engine (qdrant-edge) behind Qdrant's gRPC API.

It is for trying out and for tests. What it does not serve it refuses by name with UNIMPLEMENTED;
how a request is answered follows Qdrant 1.18.
"""

from qmig.embedded.qdrant.process import EmbeddedQdrant

__all__ = ["EmbeddedQdrant"]
