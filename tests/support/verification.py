"""A migration that is verified, its contents changed behind its back, and what `qmig verify` found."""

import json
import subprocess
from typing import Any

from qmig.qdrant import messages as api
from qmig.qdrant.payload import to_payload
from tests.support.collections import fill, simple_points
from tests.support.ends import Ends

POINTS = 1500
IN_CHUNKS = ["-c", "--chunk-size", "500"]


def found(result: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """The output of `--json`."""
    parsed: dict[str, Any] = json.loads(result.stdout)
    return parsed


def overwrite(ends: Ends, *points: api.PointStruct) -> None:
    """Points of the target as somebody else has written them."""
    fill(ends.target, ends.target_name, points)


def with_payload(key: int, **changes: Any) -> api.PointStruct:
    """The simple point with this key and another payload; None among the changes is null, ... takes a key away."""
    changed = simple_points(key + 1)[key]
    for name, value in changes.items():
        if value is ...:
            del changed.payload[name]
        else:
            changed.payload[name].CopyFrom(to_payload({name: value})[name])
    return changed
