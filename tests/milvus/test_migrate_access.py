"""A server that asks for a password, and one that speaks TLS."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pymilvus import DataType, MilvusClient

from qmig.connections import Server
from qmig.migration import Endpoint
from qmig.sealing import SECRET_VARIABLE, new_secret
from qmig.sources.milvus.connection import MILVUS_PORT
from tests.certificates import Authority
from tests.contents import delete, new_name
from tests.milvus.migrating import Migration, Run
from tests.milvus.servers import MilvusServer, StandaloneServer
from tests.terminator import TlsTerminator

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
    client = MilvusClient(guarded.url, token=f"root:{PASSWORD}")
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


@pytest.mark.parametrize("way", ["a certificate", "no verification", "the Go tool's flag"])
def test_tls(
    qmig: Run, fleet: str, milvus_lite: MilvusServer, target_server: Server, tmp_path: Path, way: str
) -> None:
    authority = Authority.new(tmp_path / "authority")
    client = MilvusClient(milvus_lite.url)
    source, target, ledger = new_name("source").replace("-", "_"), new_name("target"), new_name("ledger")
    behind = Endpoint.parse(milvus_lite.url, "", MILVUS_PORT)
    with TlsTerminator(behind, authority.issue(tmp_path / "files", "127.0.0.1")) as terminator:
        plain = terminator.url.replace("https", "http")
        url, options = {
            "a certificate": (terminator.url, ["--source-ca-cert", str(authority.file)]),
            "no verification": (terminator.url, ["--skip-tls-verification"]),
            "the Go tool's flag": (plain, ["--milvus.enable-tls-auth", "--source-ca-cert", str(authority.file)]),
        }[way]
        made = Migration(qmig, fleet, url, client, source, target_server, target, ledger)
        made.create(fields={"number": {"datatype": DataType.INT64}})
        made.insert([{"pk": key, "number": key} for key in range(10)])
        try:
            untrusted = made.run("-c", "--milvus.enable-tls-auth")
            assert untrusted.returncode == 1
            assert "its certificate is not trusted" in untrusted.stderr
            assert "--source-ca-cert" in untrusted.stderr
            done = made.run("-c", *options)
            assert done.returncode == 0, done.stderr
            assert [point.payload["number"] for point in made.points().values()] == list(range(10))
        finally:
            client.drop_collection(source)
            for name in (target, ledger):
                delete(target_server, name)
