"""A finished migration, and `qmig verify` of it."""

import subprocess
from typing import Any

import pytest

from tests.support.command import Run
from tests.support.ends import Ends
from tests.support.migrations import fill_source
from tests.support.verification import IN_CHUNKS, POINTS


@pytest.fixture
def verify(qmig: Run, fleet: str, ends: Ends) -> Run:
    """`qmig verify` of the one migration between the ends, over the shared fleet."""

    def run(*arguments: str, **settings: Any) -> subprocess.CompletedProcess[str]:
        return qmig("verify", *ends.where, *arguments, **{"broker": fleet, **settings})

    return run


@pytest.fixture
def migrated(ends: Ends, migrate: Run) -> Ends:
    fill_source(ends, POINTS)
    result = migrate(*IN_CHUNKS)
    assert result.returncode == 0, result.stderr
    return ends
