"""Explain an error by a ledger that was deleted, and put the target's settings back."""

from collections.abc import Iterator
from contextlib import contextmanager

from qmig.errors import LedgerLostError, QmigError, TerminalError
from qmig.ledger.find import lost_ledger
from qmig.ledger.ledger import Ledger
from qmig.ledger.settle import put_back_without_ledger


@contextmanager
def explaining_a_lost_ledger(ledger: Ledger, migration: str) -> Iterator[None]:
    """Say of an error that the ledger was deleted, if it was, and put the target's settings back."""
    try:
        yield
    except TerminalError as error:
        raise _explained(ledger, migration, error) from None


def _explained(ledger: Ledger, migration: str, error: TerminalError) -> TerminalError:
    """The error, or that of a lost ledger."""
    try:
        if ledger.migration(migration) is not None:
            return error
        lost = error if isinstance(error, LedgerLostError) else lost_ledger(ledger, migration)
        found = put_back_without_ledger(ledger.server, migration)
    except QmigError:
        return error
    settings = f". The settings of {', '.join(map(repr, found))} were put back" if found else ""
    return LedgerLostError(f"{lost}{settings}")
