"""An embedded Qdrant endpoint: Qdrant's own storage engine (qdrant-edge) behind Qdrant's gRPC API.

It is for trying qmig out and for tests. It answers as Qdrant 1.18 does. What it does not serve it
refuses by name with UNIMPLEMENTED.
"""

from qmig.embedded.qdrant.process import EmbeddedQdrant

__all__ = ["EmbeddedQdrant"]
