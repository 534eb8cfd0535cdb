"""Which workers are gone, as far as somebody who looks at the ledger again and again can tell."""

from collections.abc import Iterable

from qmig.ledger.lease import BEAT_SECONDS, has_lapsed
from qmig.ledger.records import ChunkRecord


class Vigil:
    """Watches the beats of running chunks by the watcher's own clock."""

    def __init__(self) -> None:
        self._beats: dict[int, tuple[str, int, float]] = {}

    def gone(self, running: Iterable[ChunkRecord], now: float) -> list[ChunkRecord]:
        """The running chunks whose worker is gone; `now` is in seconds of any steady clock.

        A process of this machine is known to be gone, any other is taken for it when its beat has stood still for
        a lease.
        """
        before, self._beats, gone = self._beats, {}, []
        for chunk in running:
            owner, beat, since = before.get(chunk.index, ("", 0, now))
            if (owner, beat) != (chunk.owner, chunk.beat):
                since = now
            self._beats[chunk.index] = (chunk.owner, chunk.beat, since)
            still = now - since
            # Whether a process is there is not asked at each look while it beats.
            if still > BEAT_SECONDS and has_lapsed(chunk.owner, still):
                gone.append(chunk)
        return gone


WORKERS_GONE = "their workers are gone; others take them up, or the command that began it goes on with them"
