"""What a task may open: both ends and the ledger of one migration. It travels as one piece, sealed where the fleet
has a secret, so that nobody else can point the credentials of a migration at a server of his own."""

import json
from dataclasses import asdict, dataclass, field

from qmig.broker.codec import read
from qmig.broker.sealing import SECRET_VARIABLE, has_secret, seal, unseal
from qmig.errors import TerminalError
from qmig.ledger.records import JobKind, MigrationRecord
from qmig.migration import Credentials, Endpoint, Migration


@dataclass(frozen=True)
class AccessGrant:
    """The ends, ledger and credentials of one migration, or of its verification: `migration` is the record's id."""

    migration: str
    source: Endpoint
    target: Endpoint
    ledger: str
    skip_tls_verification: bool = False
    credentials: Credentials = field(default_factory=Credentials)

    @classmethod
    def of(cls, migration: Migration, credentials: Credentials, work: str = JobKind.COPY) -> "AccessGrant":
        return cls(
            migration=migration.verification_id if work == JobKind.VERIFY else migration.id,
            source=migration.source.endpoint,
            target=migration.target.endpoint,
            ledger=migration.target.ledger,
            skip_tls_verification=migration.options.skip_tls_verification,
            credentials=credentials,
        )

    def to_text(self) -> str:
        """A token where this process has a secret, JSON where it has none; UsageError for credentials without one."""
        text = json.dumps(asdict(self), ensure_ascii=False)
        return seal(text) if has_secret() or self.credentials else text

    @classmethod
    def from_text(cls, text: str) -> "AccessGrant":
        """TerminalError where it is malformed, or not sealed with this process' secret."""
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
            return read(cls, json.loads(text if is_open else unseal(text)))
        except (ValueError, RecursionError) as error:
            raise TerminalError(f"a task was refused: its access is malformed: {error}") from None

    def check(self, record: MigrationRecord) -> None:
        """TerminalError where a migration's definition in the ledger names other ends than these."""
        if AccessGrant.of(Migration.from_json(record.definition), self.credentials, record.job) != self:
            raise TerminalError(
                f"migration {self.migration} has other ends in its ledger than in the task, which may be of an "
                "earlier run; nothing was done"
            )
