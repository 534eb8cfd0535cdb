"""A migration that is paused while something happens to its collections."""

from collections.abc import Iterator
from contextlib import contextmanager

from qmig.ledger.control import pause, resume
from qmig.ledger.ledger import Ledger
from qmig.ledger.records import MigrationRecord, State
from tests.support.waiting import until


@contextmanager
def paused(ledger: Ledger) -> Iterator[None]:
    """Pause the ledger's only migration, and resume it afterwards; meanwhile no worker reads or writes."""

    def record() -> MigrationRecord:
        (found,) = ledger.migrations()
        return found

    pause(ledger, record())
    until(lambda: not ledger.chunks_in(record(), State.RUNNING), "the workers releasing their chunks")
    yield
    resume(ledger, record())
