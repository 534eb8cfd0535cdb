"""Connect to one Milvus server: token, database, and its statuses as errors."""

import base64
from typing import Any

import grpc

from qmig.errors import AccessError, NotFoundError, QmigError, TerminalError, TransientError, UsageError
from qmig.migration import Credentials, Migration
from qmig.rpc.call import Call
from qmig.rpc.connection import RETRY_FOR, Connection
from qmig.sources.milvus.answers import Meaning, meaning_of_call, meaning_of_status
from qmig.sources.milvus.messages import RawQueryResults, milvus

#: Settings of the first call to a server, which shows whether one answers.
ASKED_ONCE = {"timeout": 5.0, "retry_for": 0.0}
SERVICE = "/milvus.proto.milvus.MilvusService/"
#: Bytes in one answer. A larger one is refused on this side too, so that a worker's memory stays flat; the reader
#: then halves its range.
MAX_ANSWER_BYTES = 64 * 1024 * 1024
#: Rows in one answer: the default limit of a real server.
MAX_ROWS = 16_384


class ResultTooLargeError(TerminalError):
    """The answer has more rows or bytes than the server sends at once."""


class PartitionGoneError(TransientError):
    """A partition that the query names was released or dropped, or is not served yet although it is loaded.

    The next read asks which partitions there are, and fails where one is not loaded.
    """


class UnsupportedCallError(TerminalError):
    """The server does not know this call."""


class MilvusConnection(Connection):
    """A connection to one database of a Milvus server."""

    def __init__(self, migration: Migration, credentials: Credentials, retry_for: float = RETRY_FOR) -> None:
        metadata = [("authorization", token)] if (token := _authorization(credentials)) else []
        if migration.source.database:
            metadata.append(("dbname", migration.source.database))
        super().__init__(
            migration.source.endpoint,
            "source",
            metadata,
            migration.options.skip_tls_verification,
            retry_for,
            [("grpc.max_receive_message_length", MAX_ANSWER_BYTES)],
        )
        self._query = self.raw_method(f"{SERVICE}Query")

    def ask(self, method: str, request: Any, answer: Any, **settings: Any) -> Any:
        """Call a method by name and return its answer, a message of the class `answer`."""
        raw = self.raw_method(f"{SERVICE}{method}")

        def call(request: Any, **settings: Any) -> Any:
            found = answer.FromString(raw(request.SerializeToString(), **settings))
            self.check(found.status)
            return found

        return self.call(call, request, **settings)

    def query(self, request: milvus.QueryRequest) -> Any:
        """Query rows as `RawQueryResults`; retry after a transient error."""

        def call(request: Any, **settings: Any) -> Any:
            return self.results(self._query(request.SerializeToString(), **settings))

        return self.call(call, request)

    def start_query(self, request: milvus.QueryRequest) -> Call[bytes]:
        """Send a query without waiting for its answer, which `results` reads."""
        return self.start(self._query, request.SerializeToString())

    def results(self, answer: bytes) -> Any:
        """Read the rows of a serialized answer; raises the error that it carries."""
        found = RawQueryResults.FromString(answer)
        self.check(found.status)
        return found

    def check(self, status: Any) -> None:
        """Raise the error that a status in an answer stands for."""
        if not status.code and not status.error_code:
            return
        reason = " ".join((status.reason or status.detail or "unknown error").split())
        message = f"{self.role} {self.endpoint.url}: {reason}"
        meaning = meaning_of_status(status.code, status.error_code, status.retriable, reason)
        raise self._error_of(meaning, message)

    def error(self, error: grpc.RpcError) -> QmigError:
        details = " ".join((error.details() or "").split()) or error.code().name
        meaning = meaning_of_call(error.code(), details)
        if meaning is None:
            return super().error(error)
        return self._error_of(meaning, f"{self.role} {self.endpoint.url}: {details}")

    def _error_of(self, meaning: Meaning, message: str) -> QmigError:
        match meaning:
            case Meaning.TOO_LARGE:
                return ResultTooLargeError(message)
            case Meaning.TRANSIENT:
                return TransientError(message, reason=f"{self.role} busy")
            case Meaning.NOT_FOUND:
                return NotFoundError(message)
            case Meaning.NO_DATABASE:
                return TerminalError(f"{message}; check --source-database")
            case Meaning.NOT_LOADED:
                return TerminalError(f"{message}; load the collection into memory first")
            case Meaning.PARTITION_GONE:
                return PartitionGoneError(message, reason=f"{self.role} partition not loaded")
            case Meaning.FIELD_NOT_LOADED:
                return TerminalError(f"{message}; load every field, or leave it out with --skip-field")
            case Meaning.NO_ACCESS:
                return AccessError(f"{message}; {self._credentials_hint()}")
            case Meaning.UNSUPPORTED:
                return UnsupportedCallError(message)
        return TerminalError(message)

    def _credentials_hint(self) -> str:
        return "check --source-api-key, or --source-username and --source-password"


def server_version(server: MilvusConnection) -> str:
    """Ask for the server's version; empty where it tells none, as Milvus Lite 2.5."""
    try:
        answer = server.ask("GetVersion", milvus.GetVersionRequest(), milvus.GetVersionResponse, **ASKED_ONCE)
    except UnsupportedCallError:
        server.ask("ShowCollections", milvus.ShowCollectionsRequest(), milvus.ShowCollectionsResponse, **ASKED_ONCE)
        return ""
    version: str = answer.version
    return version


def _authorization(credentials: Credentials) -> str:
    """The authorization header for a token or for user and password; empty without either."""
    token = credentials.source_api_key
    if credentials.source_username or credentials.source_password:
        if token:
            raise UsageError("--source-api-key and --source-username exclude each other; give one")
        token = f"{credentials.source_username or ''}:{credentials.source_password or ''}"
    return base64.b64encode(token.encode()).decode() if token else ""
