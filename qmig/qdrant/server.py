"""Connect to one Qdrant server: its stubs, its version, and when an update is complete."""

from qmig.errors import QmigError, TerminalError
from qmig.migration import GRPC_URL, Endpoint
from qmig.qdrant import messages as api
from qmig.rpc.connection import RETRY_FOR, Connection
from qmig.rpc.diagnosis import TIMEOUT, explain


class Server(Connection):
    """One Qdrant server, with the stubs of its services."""

    def __init__(
        self,
        endpoint: Endpoint,
        role: str,
        api_key: str | None = None,
        skip_tls_verification: bool = False,
        retry_for: float = RETRY_FOR,
    ) -> None:
        metadata = (("api-key", api_key),) if api_key else ()
        super().__init__(endpoint, role, metadata, skip_tls_verification, retry_for)
        self.collections = api.CollectionsStub(self._channel)
        self.points = api.PointsStub(self._channel)
        self.health = api.QdrantStub(self._channel)


def completed(answer: api.PointsOperationResponse) -> bool:
    """Whether an update is applied; one that is only `Acknowledged` may still be lost."""
    return answer.result.status == api.Completed


def server_version(server: Server) -> str:
    """Ask for the server's version; TerminalError with the likely mistake where no Qdrant answers."""
    try:
        answer = server.call(server.health.HealthCheck, api.HealthCheckRequest(), timeout=TIMEOUT, retry_for=0)
    except QmigError as error:
        raise TerminalError(explain(server.endpoint, server.role, error, "Qdrant", GRPC_URL.default_port)) from None
    return answer.version
