"""A Redis that asks for a password, for an ACL user, or for TLS: the fleet works over each, and shows no password."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest

from qmig.embedded.child_process import ChildProcess, free_port
from qmig.embedded.redis import find_redis_server
from tests.support.certificates import Authority
from tests.support.collections import contents
from tests.support.command import Run
from tests.support.connections import until_listening
from tests.support.ends import Ends
from tests.support.flower import tasks, until_it_hears
from tests.support.refusals import assert_refused
from tests.support.workers import start_workers

# With characters that a URL must escape.
PASSWORD = "br0ker/geheim@+"
USER = "fleet"
# The user of the fleet, as in docs/security.md.
KEYS = "~qmig* ~unacked* ~_kombu* ~*celery*"
ACL = f"user {USER} on >{PASSWORD} {KEYS} &* +@all -@admin -@dangerous +info"


@contextmanager
def redis_with(*lines: str, tls: tuple[Path, Path] | None = None) -> Iterator[int]:
    """Start a redis-server with this configuration, and yield its port."""
    port = free_port()
    ports = [f"port {port}"] if tls is None else ["port 0", f"tls-port {port}"]
    if tls is not None:
        ports += [f"tls-cert-file {tls[0]}", f"tls-key-file {tls[1]}", "tls-auth-clients no"]
    configuration = "\n".join(["bind 127.0.0.1", 'save ""', *ports, *lines, ""]).encode()
    process = ChildProcess([find_redis_server(), "-"], name="redis-server", stdin=configuration)
    process.wait_for_line("Ready to accept connections")
    try:
        yield port
    finally:
        process.stop()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.new(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def files(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for the broker."""
    return authority.issue(tmp_path_factory.mktemp("redis"), "127.0.0.1", "localhost")


@pytest.fixture(scope="module")
def with_tls() -> None:
    """Skip the test if redis-server was built without TLS."""
    server = find_redis_server()
    asked = subprocess.run([server, "-"], input=b"port 0\ntls-port 1\n", capture_output=True, check=False, timeout=10)
    if b"tls-port" in asked.stderr + asked.stdout:
        pytest.skip(f"{server} was built without TLS")


@pytest.fixture
def source_points() -> int:
    return 300


def assert_works(ends: Ends, qmig: Run, url: str) -> None:
    """Migrate with workers and Flower on this broker. The contents must be equal, and no log has the password."""
    worker = start_workers(url, concurrency=2)
    port = free_port()
    command = [sys.executable, "-m", "qmig", "flower", "--port", str(port)]
    flower = ChildProcess(command, name="flower", env={"QMIG_BROKER_URL": url, "FLOWER_UNAUTHENTICATED_API": "true"})
    until_listening(port, flower)
    until_it_hears(f"http://127.0.0.1:{port}")
    result = qmig("qdrant", *ends.arguments, "-c", "--chunk-size", "100", "--max-rate", "5000", "--trace", broker=url)
    listed = qmig("workers", broker=url)
    shown = tasks(f"http://127.0.0.1:{port}")
    flower.stop()
    worker.stop()

    assert result.returncode == 0, result.stderr
    there = contents(ends.source, ends.source_name)
    assert len(there) == 300
    assert contents(ends.target, ends.target_name) == there
    assert f"qmig-{worker.pid}@" in listed.stdout
    assert len(shown) >= 3
    logs = [process.read_stdout() + process.read_stderr() for process in (worker, flower)]
    for text in (*logs, result.stdout + result.stderr):
        assert "insecure" not in text
        for form in (PASSWORD, quote(PASSWORD, safe="")):
            assert form not in text


def test_a_password(filled: Ends, qmig: Run) -> None:
    with redis_with(f'requirepass "{PASSWORD}"') as port:
        assert_works(filled, qmig, f"redis://:{quote(PASSWORD, safe='')}@127.0.0.1:{port}/0")


def test_a_user_with_the_rights_that_a_fleet_needs(filled: Ends, qmig: Run) -> None:
    with redis_with(ACL, "user default off") as port:
        assert_works(filled, qmig, f"redis://{USER}:{quote(PASSWORD, safe='')}@127.0.0.1:{port}/0")


@pytest.mark.usefixtures("with_tls")
@pytest.mark.parametrize("checks", ["", "&ssl_cert_reqs=required", "&ssl_cert_reqs=CERT_REQUIRED"])
def test_tls_with_a_user(
    filled: Ends, qmig: Run, files: tuple[Path, Path], authority: Authority, checks: str
) -> None:
    with redis_with(ACL, "user default off", tls=files) as port:
        user = f"{USER}:{quote(PASSWORD, safe='')}"
        assert_works(filled, qmig, f"rediss://{user}@127.0.0.1:{port}/0?ssl_ca_certs={authority.file}{checks}")


@pytest.mark.usefixtures("with_tls")
def test_mistakes_are_one_line_without_the_password(
    filled: Ends, qmig: Run, files: tuple[Path, Path], authority: Authority, tmp_path: Path
) -> None:
    with redis_with(f'requirepass "{PASSWORD}"', tls=files) as port:
        ca = f"ssl_ca_certs={authority.file}"
        right, wrong = (f"rediss://:{quote(one, safe='')}@127.0.0.1:{port}/0" for one in (PASSWORD, "wr0ng-geheim"))
        for url, said in (
            (f"{wrong}?{ca}", "password"),
            (right, "certificate"),
            (f"{right}?ssl_cert_reqs=required", "certificate"),
            (f"{right}?ssl_cert_reqs=sometimes&{ca}", "required, optional, none"),
            (f"{right}?ssl_ca_certs={tmp_path / 'gone.pem'}", "No such file"),
            (right.replace("rediss", "redis"), "onnection"),
        ):
            for arguments in (["qdrant", *filled.arguments, "-c"], ["worker"], ["flower"]):
                result = qmig(*arguments, broker=url)
                line = assert_refused(result, 2, said, f"://***@127.0.0.1:{port}/0")
                assert "geheim" not in line


@pytest.mark.usefixtures("with_tls")
def test_an_unchecked_certificate_has_to_be_asked_for(qmig: Run, files: tuple[Path, Path]) -> None:
    with redis_with(f'requirepass "{PASSWORD}"', tls=files) as port:
        url = f"rediss://:{quote(PASSWORD, safe='')}@127.0.0.1:{port}/0?ssl_cert_reqs=none"
        result = qmig("workers", broker=url)
    assert result.returncode == 0, result.stderr
