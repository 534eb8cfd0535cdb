"""TLS: the options it needs, the messages for mistakes, and the option that trusts any certificate."""

import ssl
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from qmig.embedded.qdrant.process import EmbeddedQdrant
from qmig.embedded.redis import EmbeddedRedis
from qmig.migration import Endpoint
from qmig.qdrant.server import Server
from tests.support.certificates import Authority, self_signed
from tests.support.collections import contents, create, dense_params, exists, new_name
from tests.support.command import Run
from tests.support.ends import Ends
from tests.support.migrations import arrived, fill_source
from tests.support.refusals import assert_nothing_written, assert_refused
from tests.support.workers import start_workers


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.new(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[tuple[Server, Server]]:
    """Two servers: one with a certificate of the authority, one with a self-signed certificate for an address."""
    directory = tmp_path_factory.mktemp("tls")
    signed = authority.issue(directory / "signed", "localhost", "127.0.0.1")
    own = self_signed(directory / "own", "127.0.0.1")
    with ExitStack() as stack:
        urls = [
            stack.enter_context(EmbeddedQdrant(directory / name, tls=files)).url
            for name, files in (("source", signed), ("target", own))
        ]
        source, target = (
            stack.enter_context(Server(Endpoint.parse(url, ""), role, skip_tls_verification=True))
            for url, role in zip(urls, ("source", "target"), strict=True)
        )
        yield source, target


@pytest.fixture
def tls_ends(servers: tuple[Server, Server]) -> Ends:
    """Ends between the two servers, the source filled."""
    ends = Ends(*servers, new_name("source"), new_name("target"), new_name("ledger"))
    fill_source(ends, 300)
    return ends


def both_trusted(directory: Path, authority: Authority, tls_ends: Ends) -> Path:
    """A file with the certificate of the authority and the self-signed certificate of the target."""
    endpoint = tls_ends.target.endpoint
    file = directory / "trusted.pem"
    own = ssl.get_server_certificate((endpoint.host, endpoint.port))
    file.write_text(authority.file.read_text() + own)
    return file


@pytest.mark.parametrize("role", ["source", "target"])
def test_an_unknown_certificate_is_refused(tls_ends: Ends, qmig: Run, role: str, ends: Ends) -> None:
    server = getattr(tls_ends, role)
    arguments = tls_ends.arguments
    if role == "target":
        create(ends.source, ends.source_name, dense_params())
        arguments = ends.through(target=server.endpoint.url)

    result = qmig("qdrant", *arguments, "-c")

    line = assert_refused(result, 1, f"{role} {server.endpoint.url}", "certificate is not trusted")
    assert "$SSL_CERT_FILE" in line
    assert "--skip-tls-verification" in line
    assert_nothing_written(tls_ends)


def test_http_for_a_server_that_speaks_tls(tls_ends: Ends, qmig: Run) -> None:
    plain = tls_ends.source.endpoint.url.replace("https", "http")

    result = qmig("qdrant", *tls_ends.through(source=plain), "-c", "--skip-tls-verification")

    assert_refused(result, 1, f"source {plain}", "speaks TLS", f"--source-url as {tls_ends.source.endpoint.url}")
    assert_nothing_written(tls_ends)


@pytest.mark.parametrize("switch", [[], ["--skip-tls-verification"]], ids=["verified", "skipped"])
def test_https_for_a_server_that_does_not_speak_tls(ends: Ends, qmig: Run, switch: list[str]) -> None:
    create(ends.source, ends.source_name, dense_params())
    secure = ends.target.endpoint.url.replace("http", "https")

    result = qmig("qdrant", *ends.through(target=secure), "-c", *switch)

    assert_refused(result, 1, f"target {secure}", "no TLS there", ends.target.endpoint.url)
    assert_nothing_written(ends)


def test_a_certificate_for_another_name_is_refused(
    tmp_path: Path, authority: Authority, ends: Ends, qmig: Run
) -> None:
    files = authority.issue(tmp_path / "files", "elsewhere.example")
    with EmbeddedQdrant(tmp_path / "data", tls=files) as elsewhere:
        arguments = ends.through(source=elsewhere.url)
        result = qmig("qdrant", *arguments, "-c", env={"SSL_CERT_FILE": str(authority.file)})

        assert_refused(result, 1, f"source {elsewhere.url}", "certificate", "127.0.0.1")
        trusting = qmig("qdrant", *arguments, "-c", "--skip-tls-verification")
        assert_refused(trusting, 1, f"no collection {ends.source_name!r}")
    assert_nothing_written(ends)


def test_a_file_of_certificates_that_is_not_there(tls_ends: Ends, qmig: Run, tmp_path: Path) -> None:
    for file, content in ((tmp_path / "gone.pem", None), (tmp_path / "broken.pem", "no certificate")):
        if content is not None:
            file.write_text(content)
        result = qmig("qdrant", *tls_ends.arguments, "-c", env={"SSL_CERT_FILE": str(file)})
        assert_refused(result, 1, "$SSL_CERT_FILE", str(file))
    assert_nothing_written(tls_ends)


def test_trusted_certificates_make_it_work(tls_ends: Ends, qmig: Run, authority: Authority, tmp_path: Path) -> None:
    trusted = {"SSL_CERT_FILE": str(both_trusted(tmp_path, authority, tls_ends))}
    with EmbeddedRedis() as redis:
        workers = start_workers(redis.url, concurrency=1, **trusted)
        result = qmig("qdrant", *tls_ends.arguments, "-c", broker=redis.url, env=trusted)
        workers.stop()

    assert result.returncode == 0, result.stderr
    assert arrived(tls_ends)


@pytest.mark.parametrize("before", [True, False], ids=["before the command", "after it"])
def test_skip_tls_verification_makes_it_work(tls_ends: Ends, qmig: Run, fleet: str, before: bool) -> None:
    """The workers learn of it from the migration."""
    switch = "--skip-tls-verification"
    command = ["qdrant", *tls_ends.arguments, "-c"]

    result = qmig(*([switch, *command] if before else [*command, switch]), broker=fleet)

    assert result.returncode == 0, result.stderr
    assert arrived(tls_ends)


def test_status_over_tls(tls_ends: Ends, qmig: Run, authority: Authority, tmp_path: Path, fleet: str) -> None:
    done = qmig("qdrant", *tls_ends.arguments, "-c", "--skip-tls-verification", broker=fleet)
    assert done.returncode == 0, done.stderr
    command = ["status", *tls_ends.where]

    assert_refused(qmig(*command), 1, "certificate is not trusted")
    trusted = {"SSL_CERT_FILE": str(both_trusted(tmp_path, authority, tls_ends))}
    for result in (qmig(*command, env=trusted), qmig(*command, "--skip-tls-verification")):
        assert result.returncode == 0, result.stderr
        assert "done  100%" in result.stdout
    assert exists(tls_ends.target, tls_ends.ledger)


def test_certificates_that_the_command_is_given_reach_the_workers(
    tls_ends: Ends, qmig: Run, fleet: str, authority: Authority, tmp_path: Path
) -> None:
    endpoint = tls_ends.target.endpoint
    own = tmp_path / "own.pem"
    own.write_text(ssl.get_server_certificate((endpoint.host, endpoint.port)))
    # A private key in the same file is not sent to workers.
    key = self_signed(tmp_path / "other", "other")[1].read_text()
    own.write_text(key + own.read_text())
    trust = ["--source-ca-cert", str(authority.file), "--target-ca-cert", str(own)]

    result = qmig("qdrant", *tls_ends.arguments, *trust, "-c", broker=fleet)

    assert result.returncode == 0, result.stderr
    assert "warning" not in result.stderr
    assert arrived(tls_ends)
    ledger = b"".join(contents(tls_ends.target, tls_ends.ledger).values())
    assert b"BEGIN CERTIFICATE" in ledger
    assert b"PRIVATE KEY" not in ledger
    status = ["status", *tls_ends.where]
    assert_refused(qmig(*status, "--target-ca-cert", str(authority.file)), 1, "certificate is not trusted")
    shown = qmig(*status, "--target-ca-cert", str(own), env={"SSL_CERT_FILE": str(authority.file)})
    assert shown.returncode == 0, shown.stderr
    assert "done  100%" in shown.stdout


@pytest.mark.parametrize("role", ["source", "target"])
def test_files_of_certificates_that_cannot_be_used(
    tls_ends: Ends, ends: Ends, qmig: Run, authority: Authority, tmp_path: Path, role: str
) -> None:
    option = f"--{role}-ca-cert"
    files = {name: tmp_path / f"{name}.pem" for name in ("gone", "text", "binary", "bundle")}
    files["text"].write_text("no certificate")
    files["binary"].write_bytes(bytes(range(256)))
    files["bundle"].write_text(authority.file.read_text() * 100)
    for name, said in (
        ("gone", "No such file"),
        ("text", "no PEM certificate"),
        ("binary", "no PEM certificate"),
        ("bundle", "32,768 characters at most"),
    ):
        result = qmig("qdrant", *tls_ends.arguments, "-c", option, str(files[name]))
        assert_refused(result, 2, f"{option} {files[name]}", said)
    result = qmig("qdrant", *ends.arguments, "-c", option, str(authority.file))
    assert_refused(result, 2, f"--{role}-url", "https://")
    assert_nothing_written(tls_ends)
    assert_nothing_written(ends)


def test_skip_tls_verification_warns_once_and_names_both_ends(tls_ends: Ends, qmig: Run, fleet: str) -> None:
    result = qmig("qdrant", *tls_ends.arguments, "-c", "--skip-tls-verification", broker=fleet)

    assert result.returncode == 0, result.stderr
    warnings = [line for line in result.stderr.splitlines() if line.startswith("warning:")]
    assert len(warnings) == 1
    assert f"source {tls_ends.source.endpoint.url} and target {tls_ends.target.endpoint.url}" in warnings[0]
