"""Stalled chunks: their worker has ended, or has sent no heartbeat for a lease of the observer's own time."""

from collections.abc import Iterable

import msgspec

from qmig.ledger.fields import Count, Seconds
from qmig.ledger.lease import HEARTBEAT_SECONDS, LEASE_SECONDS
from qmig.ledger.owner import Owner, OwnerText
from qmig.ledger.records import ChunkRecord, State

#: What a person is told about stalled chunks.
WORKERS_LOST = "their workers are lost; other workers take them over, or the command that began the migration does"


class LastChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A chunk's state, owner and heartbeat, and since when they have been the same."""

    state: State
    owner: OwnerText
    heartbeat: Count
    #: When the observer first saw the chunk like this, in seconds of the observer's clock.
    since: Seconds
    #: Whether the chunk has been requeued since.
    queued: bool = False

    @classmethod
    def of(cls, chunk: ChunkRecord, before: "LastChange | None", now: float) -> "LastChange":
        """`before` if the chunk is still the same, otherwise a change at `now`.

        A time after `now` does not count: it was noted before the clock was set back.
        """
        seen = (chunk.state, chunk.owner, chunk.heartbeat)
        if before is not None and (before.state, before.owner, before.heartbeat) == seen and before.since <= now:
            return before
        return cls(*seen, now)

    def has_expired(self, now: float) -> bool:
        """Whether the owner's lease has expired: its process is dead, or a lease has passed without a heartbeat."""
        return now - self.since >= LEASE_SECONDS or (bool(self.owner) and Owner.parse(self.owner).is_dead)


class StalledChunks:
    """Finds stalled chunks by the heartbeats seen at each call."""

    def __init__(self) -> None:
        self._changes: dict[int, LastChange] = {}

    def find(self, running: Iterable[ChunkRecord], now: float) -> list[ChunkRecord]:
        """The chunks in `running` that are stalled; `now` is in seconds of any steady clock."""
        chunks = {chunk.index: chunk for chunk in running}
        self._changes = {
            index: LastChange.of(chunk, self._changes.get(index), now) for index, chunk in chunks.items()
        }
        # Processes are not asked for while their heartbeats come in.
        return [
            chunks[index]
            for index, change in self._changes.items()
            if now - change.since > HEARTBEAT_SECONDS and change.has_expired(now)
        ]
