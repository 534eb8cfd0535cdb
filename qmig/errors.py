"""What can go wrong. The class of an error says whether trying again helps, and nothing else decides it."""


class QmigError(Exception):
    """An error with one line for the user; a traceback of it is a bug."""

    exit_status = 1


class UsageError(QmigError):
    """What was asked cannot be done as it was asked."""

    exit_status = 2


class TerminalError(QmigError):
    """Trying again would fail again."""


class TransientError(QmigError):
    """Trying again may succeed; `retry_after` is the wait in seconds that the server asked for, if it did.

    `reason` is the class of what went wrong in a word or two, for counting.
    """

    def __init__(self, message: str, retry_after: float | None = None, reason: str = "other") -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.reason = reason

    def __reduce__(self) -> tuple[type["TransientError"], tuple[str, float | None, str]]:
        return (type(self), (str(self), self.retry_after, self.reason))


class NotFoundError(TerminalError):
    """The server has no such collection, shard key or call."""


class AccessError(TerminalError):
    """The server does not let these credentials in."""


class ContentsRefusedError(TerminalError):
    """The server refuses a request for what is in it; the same request with less in it may pass."""


class MessageTooLargeError(ContentsRefusedError):
    """The server, or a proxy before it, does not take a message of this size."""


class IncompleteError(QmigError):
    """Finished, with points that are not in the target, because it refused them or the source gave them to nobody."""

    exit_status = 3


class VerificationError(QmigError):
    """Verified, and the target is not as the source is."""

    exit_status = 4


class LedgerWriteError(TerminalError):
    """A failure that the ledger could not be told of: it refuses to be written."""


class ChunkLostError(QmigError):
    """The chunk belongs to another worker by now."""


class MigrationStoppedError(QmigError):
    """The migration was asked to stop; everything acknowledged so far is in the ledger."""


class Interrupted(QmigError):
    """The user pressed Ctrl-C or the process got SIGTERM."""

    exit_status = 130
