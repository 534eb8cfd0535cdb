"""A server that requires a password, and the header of every call."""

from collections.abc import Iterator

import grpc
import pytest
from pymilvus import DataType

from qmig.broker.sealing import SECRET_VARIABLE, new_secret
from qmig.migration import Endpoint
from qmig.qdrant.server import Server
from tests.support.collections import delete, new_name
from tests.support.command import Run
from tests.support.grpc_proxy import GrpcProxy
from tests.support.milvus.clients import connect
from tests.support.milvus.migration import Migration
from tests.support.milvus.servers import MilvusServer, StandaloneServer

PASSWORD = "Milvus"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandaloneServer]:
    """A server that asks for user and password."""
    if reason := StandaloneServer.missing():
        pytest.skip(reason)
    directory = tmp_path_factory.mktemp("guarded")
    with StandaloneServer(directory, {"common.security.authorizationEnabled": True}) as server:
        yield server


@pytest.fixture
def migration(
    qmig: Run, guarded: StandaloneServer, target_server: Server, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Migration]:
    monkeypatch.setenv(SECRET_VARIABLE, new_secret())
    client = connect(guarded.url, token=f"root:{PASSWORD}")
    names = new_name("target"), new_name("ledger")
    made = Migration(qmig, "", guarded.url, client, "guarded", target_server, *names)
    made.create(fields={"number": {"datatype": DataType.INT64}})
    made.insert([{"pk": key, "number": key} for key in range(10)])
    yield made
    client.drop_collection("guarded")
    for name in names:
        delete(target_server, name)


@pytest.mark.parametrize(
    ("arguments", "environment"),
    [
        (["--source-api-key", f"root:{PASSWORD}"], {}),
        (["--source-username", "root", "--source-password", PASSWORD], {}),
        (["--milvus.username", "root"], {"SOURCE_PASSWORD": PASSWORD}),
    ],
)
def test_user_and_password(migration: Migration, arguments: list[str], environment: dict[str, str]) -> None:
    done = migration.run("-c", "--workers", "1", *arguments, broker=None, env=environment)
    assert done.returncode == 0, done.stderr
    assert len(migration.points()) == 10
    assert PASSWORD not in done.stdout + done.stderr


def test_a_wrong_password_is_one_line_without_it(migration: Migration) -> None:
    done = migration.run("-c", "--source-api-key", "root:geheimnis", broker=None)
    assert done.returncode == 1
    assert "--source-api-key" in done.stderr
    assert "geheimnis" not in done.stderr
    assert len(done.stderr.splitlines()) == 1


class HeaderKeeper(GrpcProxy):
    """`headers` are those of every call, in order."""

    def __init__(self, behind: Endpoint) -> None:
        super().__init__(behind)
        self.headers: list[dict[str, str | bytes]] = []

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        self.headers.append(dict(handler_call_details.invocation_metadata))
        return super().service(handler_call_details)


@pytest.mark.parametrize("token", ["an-api-key-without-a-colon", f"root:{PASSWORD}"])
def test_every_call_carries_the_token_as_pymilvus_sends_it(
    qmig: Run, milvus_lite: MilvusServer, target_server: Server, monkeypatch: pytest.MonkeyPatch, token: str
) -> None:
    """The servers that take API keys are not to be had; this one takes anything, and the headers are looked at."""
    monkeypatch.setenv(SECRET_VARIABLE, new_secret())
    target_name, ledger = new_name("target"), new_name("ledger")
    with HeaderKeeper(Endpoint.parse(milvus_lite.url, "")) as proxy:
        client = connect(proxy.url, token=token)
        migration = Migration(qmig, "", proxy.url, client, "behind_proxy", target_server, target_name, ledger)
        migration.create(fields={"number": {"datatype": DataType.INT64}})
        migration.insert([{"pk": key, "number": key} for key in range(10)])
        sent = proxy.headers[-1]["authorization"]
        proxy.headers.clear()

        done = migration.run("-c", "--workers", "1", broker=None, env={"SOURCE_API_KEY": token})

        assert done.returncode == 0, done.stderr
        assert {point.payload["number"] for point in migration.points().values()} == set(range(10))
        assert len(proxy.headers) > 5
        assert {headers.get("authorization") for headers in proxy.headers} == {sent}
        client.drop_collection("behind_proxy")
        client.close()
    for name in (target_name, ledger):
        delete(target_server, name)
