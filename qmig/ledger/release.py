"""Wait until no live worker holds a chunk of a migration any more."""

import time
from collections.abc import Iterator

from qmig.ledger.ledger import Ledger
from qmig.ledger.stalled import StalledChunks


def until_released(ledger: Ledger, migration: str) -> Iterator[int]:
    """Yield how many chunks are held, until each is released or its lease has expired; chunks of earlier plans count.

    The caller pauses between two looks, and decides for how long it goes on.
    """
    stalled = StalledChunks()
    while len(held := ledger.held(migration)) > len(stalled.find(held, time.monotonic())):
        yield len(held)
