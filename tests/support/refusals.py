"""The result of bad input: one line on stderr, a status, nothing written."""

import subprocess

from tests.support.collections import exists
from tests.support.ends import Ends


def assert_refused(result: subprocess.CompletedProcess[str], status: int, *said: str) -> str:
    """One line that says all of `said`, under click's two usage lines at most; the line.

    That certificates are not checked is said besides.
    """
    assert result.returncode == status, result.stderr
    lines = [line for line in result.stderr.splitlines() if not line.startswith("warning: --skip-tls-verification")]
    if lines[:1] and lines[0].startswith("Usage: "):
        assert status == 2
        assert lines[1].startswith("Try '")
        assert lines[2] == ""
        lines = lines[3:]
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("Error: ")
    for text in said:
        assert text in lines[0]
    assert result.stdout == ""
    return lines[0]


def assert_nothing_written(ends: Ends) -> None:
    """Neither target nor ledger, on either server."""
    for server in (ends.source, ends.target):
        assert not exists(server, ends.target_name)
        assert not exists(server, ends.ledger)
