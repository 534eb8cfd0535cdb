"""Connect to one Milvus server: token, database, and its statuses as errors."""

import base64
import re
from typing import Any

import grpc

from qmig.errors import NotFoundError, QmigError, TerminalError, TransientError, UsageError
from qmig.migration import Credentials, Migration
from qmig.rpc.call import Call
from qmig.rpc.connection import RETRY_FOR, Connection
from qmig.sources.milvus.messages import RawQueryResults, milvus

#: Settings of the first call to a server, which shows whether one answers.
ASKED_ONCE = {"timeout": 5.0, "retry_for": 0.0}
SERVICE = "/milvus.proto.milvus.MilvusService/"
#: Bytes in one answer. A larger one is refused on this side too, so that a worker's memory stays flat; the reader
#: then halves its range.
MAX_ANSWER_BYTES = 64 * 1024 * 1024
#: Rows in one answer: the default limit of a real server.
MAX_ROWS = 16_384

# Status codes of Milvus 2.3 and later (merr): see its pkg/util/merr/errors.go.
COLLECTION_NOT_FOUND, COLLECTION_NOT_LOADED, COLLECTION_NOT_FULLY_LOADED = 100, 101, 103
#: Not found, not loaded, not fully loaded.
PARTITION_CODES = {200, 201, 202}
DATABASE_NOT_FOUND = 800
TRANSIENT_CODES = {1, 2, 5, 8, 9, 106, 503, 901, 902}
#: Codes of older servers: RateLimit, NotReadyServe, NotReadyCoordActivating, TimeTickLongDelay.
TRANSIENT_ERROR_CODES = {49, 55, 56, 57}
#: Parts of the errors for an answer that is too large, in lower case: from the proxy, gRPC, a query node and Milvus
#: Lite 2.5.
TOO_LARGE = (
    "maxoutputsize",
    "message larger than max",
    "query result window",
    "exceeds the maximum",
    "exceed the limit size",
)


#: Matches the errors of 2.3 about partitions and fields, which have no code of their own.
PARTITION_GONE = re.compile(r"partition (name \S+ )?not (found|loaded|fully loaded)")
FIELD_NOT_LOADED = re.compile(r"field\b.*\bnot loaded")


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
        if any(sign in reason.lower() for sign in TOO_LARGE):
            raise ResultTooLargeError(message)
        if status.code in (COLLECTION_NOT_LOADED, COLLECTION_NOT_FULLY_LOADED):
            raise TerminalError(f"{message}; load the collection into memory first")
        if status.code in PARTITION_CODES or PARTITION_GONE.search(reason.lower()):
            raise PartitionGoneError(message, reason=f"{self.role} partition not loaded")
        if FIELD_NOT_LOADED.search(reason.lower()):
            raise TerminalError(f"{message}; load every field, or leave it out with --skip-field")
        if status.code == COLLECTION_NOT_FOUND:
            raise NotFoundError(message)
        if status.code == DATABASE_NOT_FOUND:
            raise TerminalError(f"{message}; check --source-database")
        if status.retriable or status.code in TRANSIENT_CODES or status.error_code in TRANSIENT_ERROR_CODES:
            raise TransientError(message, reason=f"{self.role} busy")
        raise TerminalError(message)

    def error(self, error: grpc.RpcError) -> QmigError:
        # Unlike Qdrant's, this is not about a rate: the answer is too large for a message.
        if error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED:
            details = " ".join((error.details() or "").split()) or "RESOURCE_EXHAUSTED"
            return ResultTooLargeError(f"{self.role} {self.endpoint.url}: {details}")
        if error.code() == grpc.StatusCode.UNIMPLEMENTED:
            return UnsupportedCallError(f"{self.role} {self.endpoint.url}: {error.details() or 'UNIMPLEMENTED'}")
        return super().error(error)

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
