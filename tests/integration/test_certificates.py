"""Certificates that expire or change during a copy are reported and waited for, and no point is lost."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from qmig.embedded.child_process import ChildProcess
from tests.support.certificates import Authority, self_signed
from tests.support.ends import Ends
from tests.support.migrations import LEISURELY, arrived, chunks_of, fill_source, finish, own_fleet, until_copied
from tests.support.tls_terminator import TlsTerminator
from tests.support.waiting import until


@contextmanager
def behind_tls(ends: Ends, files: tuple[Path, Path], *options: str) -> Iterator[dict[str, TlsTerminator]]:
    """Run a slow migration over TLS, which must succeed, and yield the TLS terminators of both ends by role."""
    fill_source(ends, 3000)
    with ExitStack() as stack:
        broker, _ = stack.enter_context(own_fleet())
        terminators = {
            role: stack.enter_context(TlsTerminator(getattr(ends, role).endpoint, files))
            for role in ("source", "target")
        }
        arguments = ends.through(terminators["source"].url, terminators["target"].url)
        process = ChildProcess(
            [sys.executable, "-m", "qmig", "qdrant", *arguments, *LEISURELY, *options],
            name="the migration",
            env={"QMIG_BROKER_URL": broker.url},
        )
        until_copied(ends, 300)
        yield terminators
        finish(process)
    assert arrived(ends)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.new(tmp_path_factory.mktemp("authority"))


def test_one_that_expires_at_the_source_is_waited_for(ends: Ends, authority: Authority, tmp_path: Path) -> None:
    good = authority.issue(tmp_path / "good", "127.0.0.1")
    expired = authority.issue(tmp_path / "expired", "127.0.0.1", days=-1)
    trust = [f"--{role}-ca-cert={authority.file}" for role in ("source", "target")]
    with behind_tls(ends, good, *trust) as terminators:
        terminators["source"].show(expired)
        until(
            lambda: any("certificate has expired" in (chunk.waiting or "") for chunk in chunks_of(ends)),
            "a chunk that waits for the certificate",
        )
        waiting = next(chunk.waiting for chunk in chunks_of(ends) if chunk.waiting)
        terminators["source"].show(authority.issue(tmp_path / "renewed", "127.0.0.1"))
    assert f"source {terminators['source'].url}: its certificate is not trusted: certificate has expired" in waiting
    assert sum(chunk.retries for chunk in chunks_of(ends)) > 0


def test_renewed_ones_of_the_same_authority_are_taken(ends: Ends, authority: Authority, tmp_path: Path) -> None:
    files = authority.issue(tmp_path / "first", "127.0.0.1")
    trust = [f"--{role}-ca-cert={authority.file}" for role in ("source", "target")]
    with behind_tls(ends, files, *trust) as terminators:
        for role, terminator in terminators.items():
            terminator.show(authority.issue(tmp_path / role, "127.0.0.1"))


def test_unverified_ones_may_change_altogether(ends: Ends, tmp_path: Path) -> None:
    files = self_signed(tmp_path / "first", "127.0.0.1")
    with behind_tls(ends, files, "--skip-tls-verification") as terminators:
        for role, terminator in terminators.items():
            terminator.show(self_signed(tmp_path / role, f"{role}.example"))


def test_an_unverified_one_that_expires_is_waited_for(ends: Ends, tmp_path: Path) -> None:
    files = self_signed(tmp_path / "first", "127.0.0.1")
    with behind_tls(ends, files, "--skip-tls-verification") as terminators:
        terminators["source"].show(self_signed(tmp_path / "expired", "127.0.0.1", days=-1))
        until(
            lambda: any("certificate has expired" in (chunk.waiting or "") for chunk in chunks_of(ends)),
            "a chunk that waits for the certificate",
        )
        terminators["source"].show(self_signed(tmp_path / "renewed", "127.0.0.1"))
