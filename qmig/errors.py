"""Errors. The class of an error alone decides whether it is retried, and the command's exit status."""


class QmigError(Exception):
    """An error whose message is one line for the user; a traceback of it is a bug."""

    #: Exit status of a command that ends with this error.
    exit_status = 1


class UsageError(QmigError):
    """The command's arguments cannot be carried out as given."""

    exit_status = 2


class TerminalError(QmigError):
    """A retry would fail again."""


class TransientError(QmigError):
    """A retry may succeed."""

    def __init__(self, message: str, retry_after: float | None = None, reason: str = "other") -> None:
        super().__init__(message)
        #: Seconds to wait before the retry, if the server asked for it.
        self.retry_after = retry_after
        #: What went wrong in a few words, such as `target unavailable`; retries are counted by it.
        self.reason = reason

    def __reduce__(self) -> tuple[type["TransientError"], tuple[str, float | None, str]]:
        return (type(self), (str(self), self.retry_after, self.reason))


class NotFoundError(TerminalError):
    """The server has no such collection, shard key or call."""


class AccessError(TerminalError):
    """The server refuses the credentials."""


class ContentsRefusedError(TerminalError):
    """The server refuses the contents of a request; a request with fewer points may succeed."""


class MessageTooLargeError(ContentsRefusedError):
    """The message is too large for the server, or for a proxy in front of it."""


class MalformedRecordError(TerminalError):
    """A record of the ledger cannot be read."""


class IncompleteError(QmigError):
    """The migration has finished without some points, which the target refused or the source did not return."""

    exit_status = 3


class VerificationError(QmigError):
    """A verification has found that the target differs from the source."""

    exit_status = 4


class LedgerLostError(TerminalError):
    """The ledger, or the migration's record in it, was deleted while the migration was under way."""


class WorkerError(TerminalError):
    """This worker alone cannot do the job, for example because it has another secret; another worker may."""


class MissingKindError(UsageError, WorkerError):
    """The package that adds this kind of source is not on this machine, or cannot be loaded."""


class NewerRecordError(MalformedRecordError, WorkerError):
    """A newer qmig wrote the record of the ledger; a worker of that version can read it."""


class LedgerWriteError(TerminalError):
    """A failure could not be recorded, because the ledger cannot be written."""


class ChunkLostError(QmigError):
    """Another worker owns the chunk by now."""


class MigrationStoppedError(QmigError):
    """The migration was stopped; everything acknowledged so far is in the ledger."""


class ChunkSetAsideError(MigrationStoppedError):
    """The chunk was released with its offset: its server does not answer this worker, while others copy chunks."""


class Interrupted(QmigError):
    """The user pressed Ctrl-C, or the process received SIGTERM."""

    exit_status = 130
