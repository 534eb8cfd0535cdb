"""Access grants: endpoints, ledger and credentials of one migration, sealed as one token.

The parts cannot be recombined: nobody without the fleet's secret can send the credentials of a migration to a server
of his own.
"""

import msgspec

from qmig.broker.sealing import SECRET_VARIABLE, has_secret, seal, unseal
from qmig.errors import TerminalError
from qmig.formatting import one_line
from qmig.ledger.records import JobKind, MigrationRecord
from qmig.migration import Credentials, Endpoint, Migration


class AccessGrant(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The servers, ledger and credentials that a worker may use for one migration, or for its verification."""

    #: Id of the migration's record.
    migration: str
    source: Endpoint
    target: Endpoint
    #: Name of the ledger's collection in the target.
    ledger: str
    skip_tls_verification: bool = False
    credentials: Credentials = Credentials()

    @classmethod
    def of(cls, migration: Migration, credentials: Credentials, job: JobKind = JobKind.COPY) -> "AccessGrant":
        return cls(
            migration=migration.verification_id if job == JobKind.VERIFY else migration.id,
            source=migration.source.endpoint,
            target=migration.target.endpoint,
            ledger=migration.target.ledger,
            skip_tls_verification=migration.options.skip_tls_verification,
            credentials=credentials,
        )

    def to_text(self) -> str:
        """A token if this process has a secret, otherwise JSON; UsageError for credentials without a secret."""
        text = msgspec.json.encode(self).decode()
        return seal(text) if has_secret() or self.credentials else text

    @classmethod
    def from_text(cls, text: str) -> "AccessGrant":
        """Read a grant; TerminalError if it is malformed, or not sealed with this process' secret."""
        is_open = text.startswith("{")
        if is_open and has_secret():
            raise TerminalError(
                f"a task was refused: it is not sealed, and this worker has a ${SECRET_VARIABLE}; give the "
                "coordinator the same secret"
            )
        if not is_open and not has_secret():
            raise TerminalError(
                f"a task was refused: it is sealed, and this worker has no ${SECRET_VARIABLE}; give it the fleet's "
                "secret"
            )
        try:
            return msgspec.json.decode(text if is_open else unseal(text), type=cls)
        except (ValueError, RecursionError) as error:
            raise TerminalError(f"a task was refused: its access is malformed: {one_line(error)}") from None

    def check(self, record: MigrationRecord) -> None:
        """TerminalError if the migration's definition in the ledger has other ends than this grant."""
        if AccessGrant.of(record.definition, self.credentials, record.job) != self:
            raise TerminalError(
                f"migration {self.migration} has other ends in its ledger than in the task, which may be of an "
                "earlier run; nothing was done"
            )
