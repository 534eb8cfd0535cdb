"""Stalled chunks: the owner's heartbeat has stood still for a lease, by the observer's own clock."""

from collections.abc import Iterable
from dataclasses import dataclass

from qmig.ledger.lease import HEARTBEAT_SECONDS, has_expired
from qmig.ledger.records import ChunkRecord

WORKERS_GONE = "their workers are gone; others take them up, or the command that began it goes on with them"


@dataclass(frozen=True)
class LastChange:
    """A chunk as it was when it was last seen to change: at `since`, in seconds of the observer's clock."""

    state: str
    owner: str
    heartbeat: int
    since: float
    queued: bool = False

    @classmethod
    def of(cls, chunk: ChunkRecord, before: "LastChange | None", now: float) -> "LastChange":
        """`before` where nothing has changed since; one from the future was made before the clock was set back."""
        seen = (chunk.state, chunk.owner, chunk.heartbeat)
        if before is not None and (before.state, before.owner, before.heartbeat) == seen and before.since <= now:
            return before
        return cls(*seen, now)

    def has_expired(self, now: float) -> bool:
        """Whether the owner is known to be dead, or has sent no heartbeat for a lease."""
        return has_expired(self.owner, now - self.since)


class StalledChunks:
    """Finds running chunks whose worker is gone, by the heartbeats seen at each call."""

    def __init__(self) -> None:
        self._changes: dict[int, LastChange] = {}

    def find(self, running: Iterable[ChunkRecord], now: float) -> list[ChunkRecord]:
        """The chunks whose worker is gone; `now` is in seconds of any steady clock."""
        chunks = {chunk.index: chunk for chunk in running}
        self._changes = {
            index: LastChange.of(chunk, self._changes.get(index), now) for index, chunk in chunks.items()
        }
        # Whether a process is there is not asked at each look while it beats.
        return [
            chunks[index]
            for index, change in self._changes.items()
            if now - change.since > HEARTBEAT_SECONDS and change.has_expired(now)
        ]
