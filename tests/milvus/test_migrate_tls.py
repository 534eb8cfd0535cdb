"""A server with TLS that requires a password."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from pymilvus import DataType

from qmig.broker.sealing import SECRET_VARIABLE, new_secret
from qmig.qdrant.server import Server
from tests.support.certificates import Authority
from tests.support.collections import delete, exists, new_name
from tests.support.command import Run
from tests.support.milvus.clients import connect
from tests.support.milvus.migration import Migration
from tests.support.milvus.servers import MilvusServer, StandaloneServer
from tests.support.refusals import assert_refused

TOKEN = "root:Milvus"
LOCAL = ("-c", "--workers", "1", "--source-api-key", TOKEN)
ROWS = {str(key): {"pk": key, "number": 3 * key} for key in range(300)}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.new(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def tls_server(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[StandaloneServer]:
    """Its certificate is the authority's."""
    if reason := StandaloneServer.missing():
        pytest.skip(reason)
    directory = tmp_path_factory.mktemp("tls")
    files = authority.issue(directory / "files", "localhost", "127.0.0.1")
    with StandaloneServer(directory / "data", {"common.security.authorizationEnabled": True}, files) as server:
        yield server


@pytest.fixture
def migration(
    qmig: Run,
    tls_server: StandaloneServer,
    authority: Authority,
    target_server: Server,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Migration]:
    monkeypatch.setenv(SECRET_VARIABLE, new_secret())
    client = connect(tls_server.url, token=TOKEN, server_pem_path=str(authority.file))
    names = new_name("target"), new_name("ledger")
    made = Migration(qmig, "", tls_server.url, client, "behind_tls", target_server, *names)
    made.create(fields={"number": {"datatype": DataType.INT64}})
    made.insert(list(ROWS.values()))
    yield made
    client.drop_collection("behind_tls")
    client.close()
    for name in names:
        delete(target_server, name)


def assert_arrived(migration: Migration) -> None:
    assert {key: point.payload for key, point in migration.points().items()} == ROWS


def assert_nothing_written(migration: Migration) -> None:
    assert not exists(migration.target, migration.target_name)
    assert not exists(migration.target, migration.ledger)


def test_a_trusted_certificate(migration: Migration, authority: Authority) -> None:
    done = migration.run(*LOCAL, broker=None, env={"SSL_CERT_FILE": str(authority.file)})
    assert done.returncode == 0, done.stderr
    assert_arrived(migration)


def test_any_certificate_where_the_user_says_so(migration: Migration) -> None:
    done = migration.run(*LOCAL, "--skip-tls-verification", broker=None)
    assert done.returncode == 0, done.stderr
    assert_arrived(migration)


def test_the_go_tools_switch_for_tls(migration: Migration, authority: Authority) -> None:
    plain = replace(migration, url=migration.url.replace("https", "http"))
    trusted = {"SSL_CERT_FILE": str(authority.file)}
    done = plain.run(*LOCAL, "--milvus.enable-tls-auth=true", broker=None, env=trusted)
    assert done.returncode == 0, done.stderr
    assert_arrived(migration)


def test_a_certificate_that_is_not_trusted_is_refused(migration: Migration) -> None:
    done = migration.run(*LOCAL, broker=None)
    line = assert_refused(done, 1, f"source {migration.url}", "certificate is not trusted")
    assert "$SSL_CERT_FILE" in line
    assert "--skip-tls-verification" in line
    assert_nothing_written(migration)


def test_http_for_a_server_that_speaks_tls(migration: Migration) -> None:
    plain = replace(migration, url=migration.url.replace("https", "http"))
    done = plain.run(*LOCAL, broker=None)
    assert_refused(done, 1, f"source {plain.url}", "speaks TLS", f"--source-url as {migration.url}")
    assert_nothing_written(migration)


def test_https_for_a_server_that_does_not_speak_tls(migration: Migration, milvus_lite: MilvusServer) -> None:
    secure = replace(migration, url=milvus_lite.url.replace("http", "https"))
    done = secure.run(*LOCAL, broker=None)
    assert_refused(done, 1, f"source {secure.url}", "no TLS there", milvus_lite.url)
    assert_nothing_written(migration)


def test_a_wrong_password_over_tls_is_one_line_without_it(migration: Migration) -> None:
    done = migration.run("-c", "--skip-tls-verification", "--source-api-key", "root:geheimnis", broker=None)
    line = assert_refused(done, 1, f"source {migration.url}", "--source-api-key")
    assert "geheimnis" not in line
    assert_nothing_written(migration)
