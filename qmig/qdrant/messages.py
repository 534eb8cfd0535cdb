"""Qdrant's gRPC messages and stubs from `qdrant_client.grpc`, without the rest of that package.

`qdrant_client` itself imports a REST client with thousands of models, which qmig never uses: 0.55 s of CPU and 40 MB
in every process (measured). So only its messages are imported here. A later `import qdrant_client` gets the whole
package, with these same messages.
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
