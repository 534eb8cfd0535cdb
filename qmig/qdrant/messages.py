"""Qdrant's gRPC messages and stubs out of `qdrant_client.grpc`, and nothing else of that package.

The package's own `__init__` imports its REST client with thousands of models: 0.55 s of CPU and 40 MB in every
process, measured, for what qmig never uses. Here the messages are imported beside it; whoever imports
`qdrant_client` itself afterwards gets the whole package, with these same messages.
"""

import sys
from importlib.util import find_spec
from types import ModuleType


def _import_messages() -> None:
    if "qdrant_client" in sys.modules:
        return
    spec = find_spec("qdrant_client")
    if spec is None or spec.submodule_search_locations is None:
        raise ModuleNotFoundError("No module named 'qdrant_client'", name="qdrant_client")
    parent = ModuleType("qdrant_client")
    parent.__path__ = list(spec.submodule_search_locations)
    sys.modules["qdrant_client"] = parent
    try:
        import qdrant_client.grpc  # noqa: F401
    finally:
        del sys.modules["qdrant_client"]


_import_messages()

from qdrant_client.grpc import *  # noqa: E402, F403
