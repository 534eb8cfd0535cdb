"""`qmig` as its users call it."""

import os
import subprocess
import sys
from collections.abc import Callable

Run = Callable[..., subprocess.CompletedProcess[str]]

# Seconds within which a command ends, on a busy machine too.
COMMAND_SECONDS = 300.0


def run_command(
    *arguments: str,
    broker: str | None = None,
    env: dict[str, str] | None = None,
    timeout: float = COMMAND_SECONDS,
) -> subprocess.CompletedProcess[str]:
    """Call `qmig` as a process, and wait for its end."""
    environment = {**os.environ, **(env or {})}
    if broker is not None:
        environment["QMIG_BROKER_URL"] = broker
    try:
        return subprocess.run(
            [sys.executable, "-m", "qmig", *arguments],
            check=False,
            capture_output=True,
            text=True,
            env=environment,
            timeout=timeout,
        )
    except subprocess.TimeoutExpired as error:
        said = (error.stderr or b"").decode(errors="replace")
        raise AssertionError(f"`qmig {arguments[0]}` did not end within {timeout:g} s\n{said}") from None
